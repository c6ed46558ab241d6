"""A tool answer is judged whole: what stands beside a right call, and how it ends, belongs to it."""

import dataclasses

import pytest
from made import answer, measurement
from made_harmony import harmony, harmony_call

from pytest_gptoss.judge.metrics.tools import tools
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import ToolCall

SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
}
ARGUMENTS = '{"city": "Paris"}'
THOUGHT = 'The user asks for Paris; I call get_weather with {"city": "Paris"}.'
IDS = harmony_call(THOUGHT, ARGUMENTS)


def called(
    form, ids=None, *, content="", reasoning=THOUGHT, finish_reason="tool_calls", arguments=ARGUMENTS, calls=1
):
    made = (ToolCall("get_weather", arguments),) * calls
    said = answer(f"Paris-{form}", ids, content=content, reasoning=reasoning, tool_calls=made)
    return dataclasses.replace(said, finish_reason=finish_reason)


def judged(streamed, whole=None, *, choice="auto"):
    whole = whole or dataclasses.replace(streamed, prompt_id="Paris-whole")
    again = dataclasses.replace(whole, prompt_id="Paris-whole again")
    items = [streamed, whole, again]
    return tools(npu=measurement("npu", items, provenance={"schemas": SCHEMAS}), choice=choice)


WRONG = [
    (called("streamed", content=ARGUMENTS), "arguments stand in the content too"),
    (called("streamed", content='{"city":"Paris"}'), "arguments stand in the content too"),
    (called("streamed", content=f"I call it.\n{ARGUMENTS} Done."), "arguments stand in the content too"),
    (
        called("streamed", content='{"name": "get_weather", "arguments": {"city": "Paris"}}'),
        "in the content too",
    ),
    (called("streamed", content='{"arguments": "{\\"city\\": \\"Paris\\"}"}'), "in the content too"),
    (called("streamed", content='{"city": "Pa'), "arguments stand in the content too"),
    (called("streamed", content="commentary to=functions.get_weather json"), "address stands in the content"),
    (called("streamed", content="<|call|>"), "content holds the control token <|call|>"),
    (called("streamed", reasoning=f"{THOUGHT}<|end|>"), "reasoning holds the control token <|end|>"),
    (called("streamed", reasoning=ARGUMENTS), "reasoning is the call's arguments"),
    (called("streamed", finish_reason="length"), "finish_reason is 'length'"),
    (called("streamed", IDS, content="It is 21 degrees."), "its token ids hold none: the server's parser"),
    (called("streamed", IDS, reasoning=""), "reasoning is empty where its token ids hold"),
    (called("streamed", IDS, reasoning=f"{THOUGHT}{ARGUMENTS}"), "reasoning is "),
]


@pytest.mark.parametrize("choice", ["auto", "required", "named"])
@pytest.mark.parametrize(("streamed", "words"), WRONG)
def test_what_does_not_belong_beside_a_call_is_wrong(streamed, words, choice):
    sound = called("whole", streamed.token_ids)
    for both in (
        (streamed, sound),
        (dataclasses.replace(sound, prompt_id="Paris-streamed"), _whole(streamed)),
    ):
        estimate = judged(*both, choice=choice)
        assert estimate.value == 0
        assert words in estimate.details["finding"]


def _whole(streamed):
    return dataclasses.replace(streamed, prompt_id="Paris-whole")


@pytest.mark.parametrize("choice", ["auto", "required", "named"])
@pytest.mark.parametrize(
    "sound",
    [
        called("streamed"),
        called("streamed", reasoning=""),
        called("streamed", IDS),
        called("streamed", content="I look up the weather in Paris."),
        called("streamed", content="Paris"),
        called("streamed", content='The city is "Paris", so {city} is known.'),
        called(
            "streamed", harmony_call(THOUGHT, ARGUMENTS, preamble="I look it up."), content="I look it up."
        ),
        called("streamed", harmony_call(THOUGHT, ARGUMENTS, preamble="I look it up.")),
        # As vLLM writes the arguments of a call that the model spaces otherwise.
        called("streamed", harmony_call(THOUGHT, '{"city":"Paris"}')),
    ],
)
def test_a_preamble_and_an_analysis_of_the_arguments_are_sound(sound, choice):
    estimate = judged(sound, choice=choice)
    assert estimate.value == 1
    assert "finding" not in estimate.details


def test_a_named_call_may_end_as_two_generations_do_and_others_may_not():
    assert judged(called("streamed", finish_reason="stop"), choice="named").value == 1
    for choice in ("auto", "required"):
        assert judged(called("streamed", finish_reason="stop"), choice=choice).value == 0
    for reason in ("length", "content_filter", None):
        assert judged(called("streamed", finish_reason=reason), choice="named").value == 0


def test_both_forms_say_the_same_where_their_ids_are_the_same():
    with_preamble = harmony_call(THOUGHT, ARGUMENTS, preamble="I look it up.")
    shown, hidden = called("streamed", with_preamble, content="I look it up."), called("whole", with_preamble)
    estimate = judged(shown, hidden)
    assert estimate.value == 0
    assert "streamed and whole content is 'I look it up.' and ''" in estimate.details["finding"]
    # Other ids may be chance.
    other = called("whole", harmony_call("Another thought.", ARGUMENTS), reasoning="Another thought.")
    assert judged(shown, other).value == 1


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (called("streamed", IDS, calls=2), "2 calls instead of one"),
        (called("streamed", IDS, arguments='{"city": "Pa'), "no JSON"),
        (called("streamed", IDS, arguments='{"city": "Rome"}'), "asked for Paris"),
    ],
)
def test_a_call_that_is_right_in_the_ids_alone_is_the_tool_parsers_fault(broken, words):
    estimate = judged(broken)
    assert estimate.value == 0
    assert words in estimate.details["finding"]
    assert (
        "its token ids hold the right call: the server's tool parser is at fault"
        in estimate.details["finding"]
    )
    models = judged(dataclasses.replace(broken, token_ids=harmony(THOUGHT, "It rains.")))
    assert "the server's tool parser" not in models.details["finding"]


def test_an_answer_that_no_call_is_taken_from_still_is_an_unparsed_one():
    unparsed = called("streamed", IDS, calls=0, finish_reason="stop")
    with pytest.raises(InsufficientData, match="takes no call out of it"):
        judged(unparsed)
