"""Headers of harmony without their brackets are leaks; prose that uses the same words is none."""

import pytest
from made import answer, measurement

from pytest_gptoss.judge.metrics.leakage import leakage
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.model.results import ToolCall

LEAKING = [
    "analysisThe user asks for the capital. Easy.assistantfinalThe capital of France is Paris.",
    "analysis We need the capital. assistantfinal Paris",
    "analysis\nThe user asks.\nassistant\nfinal\nParis.",
    "analysis We need the capital. assistant final Paris",
    "We need the capital.assistantfinalParis",
    "Paris.assistantanalysisNow the user may ask more.",
    "用户问首都。assistantfinal巴黎",
    "analysisWe need to count to five, one number a line",  # cut before the final channel
    "analysisUser asks: what is 2+2?",
    "finalThe capital of France is Paris.",
    "finalSure, here it is.",
    "commentaryWe will call the tool.",
    'commentary to=functions.get_weather json{"city": "Paris"}',
    'assistantcommentary to=functions.get_weather json{"city": "Paris"}',
    ' to=functions.get_weathercommentary json{"city": "Paris"}',
    'assistant to=functions.get_weathercommentary json{"city": "Paris"}',
    "analysis to=browser.search code{}",
    'commentaryjson{"city": "Paris"}',
]

PROSE = [
    "The final analysis is that the assistant was right.",
    "Final analysis: the commentary and the assistant's final answer agree.",
    "final",
    "analysis",
    "commentary",
    "analysis of the assistant final report",
    "analysis of the data shows that the assistant's final answer is right.",
    "Analysis: we need an assistant. Final: Paris.",
    "analysis, assistant, commentary, final, user",
    "assistant\nfinal\nuser",
    "Now produce the final answer in the final channel, with no commentary.",
    "The assistant analysis was thorough; the assistant final exam is on Monday.",
    "My assistant finalised the commentary; his assistant's analyses were finally done.",
    "finalPrice = price * 0.9\nanalysisResult = run(finalPrice)",
    "finalPrice is assigned twice, so analysisResult is wrong.",
    "analysisResult holds what the assistant returns.",
    "final 关键字用于声明常量。分析(analysis)完成。",
    "final关键字用于声明常量。",
    "finally we are done. In the final analysis, theory is commentary.",
    "Use `assistant_final`, assistant-final or assistantFinal as a name.",
    "https://x.org/?redirect_to=functions.php&to=functions.x and send(to=functions.x)",
    'The final json {"a": 1} comes with a commentary JSON {"b": 2}.',
    "**Final answer**: Paris\n\n*Commentary*: none. Assistant: none.",
    'json\n{"a": 1}',
]


def found(**fields):
    return leakage(npu=measurement("npu", [answer("p1", **fields)])).value


@pytest.mark.parametrize("field", ["content", "reasoning"])
@pytest.mark.parametrize("text", LEAKING)
def test_headers_without_brackets_leak(text, field):
    assert found(**{field: text}) == 1


@pytest.mark.parametrize("field", ["content", "reasoning"])
@pytest.mark.parametrize("text", PROSE)
def test_prose_does_not(text, field):
    assert found(**{field: text}) == 0


@pytest.mark.parametrize(
    ("name", "arguments", "leaks"),
    [
        ("get_weather", '{"city": "Paris"}assistantfinalIt is warm.', 1),
        ("get_weather", 'json{"city": "Paris"}', 1),
        ("get_weather", 'commentary{"city": "Paris"}', 1),
        ("get_weather", 'commentary json {"city": "Paris"}', 1),
        ("get_weathercommentary", "{}", 1),
        ("get_weather commentary", "{}", 1),
        ("assistantcommentary", "{}", 1),
        ("get_weather", '{"city": "Paris"}', 0),
        ("run_analysis", '{"kind": "final analysis", "note": "the assistant commentary"}', 0),
        ("analysis", '{"channel": "final", "role": "assistant"}', 0),
        ("add_commentary", '["analysis", "assistant", "final"]', 0),
        ("commentary", '{"json": "final"}', 0),
    ],
)
def test_calls(name, arguments, leaks):
    assert found(tool_calls=(ToolCall(name, arguments),), content="Fine.") == leaks


def test_the_quote_is_short_however_far_two_headers_lie_apart():
    text = "analysis " + "We think. " * 1000 + "assistant final Paris"
    estimate = leakage(npu=measurement("npu", [answer("p1", content=text)]))
    (leak,) = estimate.details["leaks"]
    assert len(leak["excerpt"]) <= 160
    assert "channel words" in estimate.details["finding"]


def test_the_shipped_prompts_hold_no_such_words():
    for file in fixture("prompts", "embedded.json").parent.glob("*.json"):
        text = file.read_text("utf-8")
        assert leakage(npu=measurement("npu", [answer("p1", content=text)])).value == 0, file.name
