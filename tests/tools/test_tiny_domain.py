"""What the tiny checkpoint is taught: openai-harmony's frames, and what the grammar promises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import conversations, domain, exam, harmony

from pytest_gptoss.model.gptoss import STOP_IDS

LANGUAGES = ("en", "zh")


def rendered(effort: str, messages: list, *, tool: bool) -> tuple[int, ...]:
    """The prompt openai-harmony makes, with our system and developer messages before it."""
    import openai_harmony as oh

    system = (
        oh.SystemContent.new()
        .with_reasoning_effort(oh.ReasoningEffort[effort.upper()])
        .with_conversation_start_date("2026-01-01")
    )
    head = [oh.Message.from_role_and_content(oh.Role.SYSTEM, system)]
    if tool:
        parameters = {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city name"}},
            "required": ["city"],
        }
        weather = oh.ToolDescription.new("get_weather", "Get the current weather in a city", parameters)
        developer = oh.DeveloperContent.new().with_function_tools([weather])
        head.append(oh.Message.from_role_and_content(oh.Role.DEVELOPER, developer))
    conversation = oh.Conversation.from_messages(head + messages)
    return tuple(harmony._encoding().render_conversation_for_completion(conversation, oh.Role.ASSISTANT))


@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_frames_are_what_openai_harmony_renders(effort, tool):
    import openai_harmony as oh

    question = oh.Message.from_role_and_content(oh.Role.USER, "Why is the sky blue?")
    ours = harmony.system("2026-01-01", effort, tools=tool)
    ours += harmony.developer(None, harmony.WEATHER_TOOL if tool else None)
    ours += harmony.user("Why is the sky blue?")
    assert harmony.encode(ours) == rendered(effort, [question], tool=tool)


def test_answers_are_parsed_into_analysis_and_final_or_call():
    import openai_harmony as oh

    parse = harmony._encoding().parse_messages_from_completion_tokens
    final = harmony.answer(harmony.Turn("q", "thinking", "said"))
    analysis, said = parse(harmony.encode(final), oh.Role.ASSISTANT)
    assert (analysis.channel, analysis.content[0].text) == ("analysis", "thinking")
    assert (said.channel, said.content[0].text) == ("final", "said")
    called = harmony.answer(harmony.Turn("q", "thinking", "", city="北京"))
    _, call = parse(harmony.encode(called), oh.Role.ASSISTANT)
    assert (call.channel, call.recipient) == ("commentary", "functions.get_weather")
    assert call.content[0].text == '{"city":"北京"}'


def test_sixty_questions_and_more_with_answers_of_30_to_200_tokens():
    turns = [turn for language in LANGUAGES for turn in domain.question_turns(language, "medium")]
    assert len(turns) >= 60
    assert len({turn.question for turn in turns}) == len({turn.final for turn in turns}) == len(turns)
    lengths = {turn.question: len(harmony.encode(turn.final)) for turn in turns}
    assert {q: n for q, n in lengths.items() if not 30 <= n <= 200} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_more_effort_means_a_longer_analysis(language):
    r = random.Random(1)
    makers = (
        lambda effort: domain.question_turns(language, effort)[0],
        lambda effort: domain.ask_needle(language, "secret code", "7842", effort),
        lambda effort: domain.weather_turn("?", "Paris", language, effort, tool=True),
        lambda effort: domain.report_weather("Paris", 7, language, effort),
        lambda effort: domain.ask_repeat(r, ("sun",), effort),
    )
    for maker in makers:
        low, medium, high = (len(maker(effort).analysis) for effort in ("low", "medium", "high"))
        assert low < medium < high


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([120, 200, 300]))
def test_conversations_hold_what_can_be_answered(seed, length):
    example = conversations.conversation(random.Random(seed), length, needle_share=0.5, repeat_share=0.1)
    text = harmony.decode(example.ids)
    assert harmony.encode(text) == tuple(example.ids)
    assert len(example.ids) == len(example.classes)
    assert conversations.SAID in example.classes
    assert example.ids[-1] in STOP_IDS
    declared = "namespace functions" in text
    assert declared or "to=functions.get_weather" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_weather_is_called_with_the_city_asked_and_never_without_a_tool(language):
    r = random.Random(5)
    for _ in range(50):
        called = domain.ask_weather(r, language, "medium", tool=True)
        assert called.city is not None
        assert called.city in called.question
        refused = domain.ask_weather(r, language, "medium", tool=False)
        assert refused.city is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_a_needle_stands_once_where_it_was_put(language, depth):
    task = exam.needle_task(random.Random(3), language, 600, depth)
    text = harmony.decode(task.prompt).split("<|start|>user<|message|>")[1]
    assert 560 <= len(task.prompt) <= 600
    assert text.count(task.code) == 1
    asked = text.rindex("What is the" if language == "en" else "秘密代码是什么")
    assert text.index(task.code) / asked == pytest.approx(depth, abs=0.06)
    assert task.code in harmony.decode(task.answer)


def test_the_exam_is_the_same_every_time_and_of_every_kind():
    tasks = exam.tasks()
    assert tasks == exam.tasks()
    assert {task.kind for task in tasks} == set(exam.KINDS)
