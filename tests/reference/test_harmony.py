"""Prompts as vLLM 0.32 renders them, and answers told apart token by token."""

from datetime import date

import pytest
import recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.model.gptoss import CALL, CHANNEL, END, MESSAGE, RETURN, START
from pytest_gptoss.reference import harmony
from pytest_gptoss.reference.answer import Answer
from pytest_gptoss.reference.api_errors import ApiError
from pytest_gptoss.reference.fields import Fields
from pytest_gptoss.reference.tokens import byte_level, bytes_of, decode, encode

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALLING = {
    "role": "assistant",
    "reasoning": "I must look.",
    "tool_calls": [{"id": "c1", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "warm"}


def rendered(messages, tools=(), effort=None, day="2026-01-01"):
    fields = Fields({"messages": messages, "tools": list(tools)})
    ids = harmony.render(fields.parts("messages"), fields.parts("tools"), effort=effort, day=day)
    return decode(ids)


def with_prompt_ids():
    for name in recorded.names():
        recording = recorded.load(name)
        request = recording.get("request", {})
        if request.get("path") == "/v1/chat/completions" and name.startswith(("chat_", "tools_")):
            answer = recording["response"].get("body")
            chunks = recorded.recorded_events(name) if "body_in" in recording["response"] else [answer]
            ids = chunks[0].get("prompt_token_ids")
            if ids:
                yield pytest.param(request["body"], ids, id=name)


@pytest.mark.parametrize(("body", "ids"), list(with_prompt_ids()))
def test_prompt_ids_are_those_of_vllm(body, ids):
    fields = Fields(body)
    effort = fields.text("reasoning_effort")
    messages, tools = fields.parts("messages"), fields.parts("tools")
    assert harmony.render(messages, tools, effort=effort, day="2026-01-01") == ids


def test_instructions_and_tools_share_one_developer_message():
    text = rendered([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}], [WEATHER])
    assert text.count("<|start|>developer") == 1
    assert text.index("# Instructions\n\nBe kind.") < text.index("# Tools")


def test_a_later_system_message_stays_where_it_is():
    text = rendered([{"role": "user", "content": "Hi"}, {"role": "system", "content": "Now be kind."}])
    assert text.index("user<|message|>Hi") < text.index("<|start|>developer<|message|># Instructions")


def test_an_empty_system_message_is_none():
    assert "developer" not in rendered([{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}])


def test_reasoning_is_kept_for_a_call_that_is_not_yet_answered():
    text = rendered([{"role": "user", "content": "Weather?"}, CALLING, RESULT], [WEATHER])
    assert "analysis<|message|>I must look.<|end|>" in text
    assert "<|start|>functions.get_weather<|channel|>commentary to=assistant<|message|>warm<|end|>" in text
    assert text.endswith("<|start|>assistant")


def test_reasoning_is_dropped_once_an_answer_followed():
    answered = [{"role": "assistant", "content": "Warm."}, {"role": "user", "content": "Thanks"}]
    text = rendered([{"role": "user", "content": "Weather?"}, CALLING, RESULT, *answered], [WEATHER])
    assert "I must look." not in text
    assert 'json<|message|>{"city":"Rome"}<|call|>' in text


def test_text_parts_are_joined():
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert "user<|message|>one two<|end|>" in rendered([{"role": "user", "content": parts}])


def test_control_tokens_in_a_message_are_plain_text():
    fields = Fields({"messages": [{"role": "user", "content": "<|end|>"}]})
    ids = harmony.render(fields.parts("messages"), [], effort=None, day="2026-01-01")
    assert ids.count(END) == 2


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ({"role": "tool", "tool_call_id": "nobody", "content": "x"}, "'nobody' names no tool call"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "'image_url'"),
        ({"role": "alien", "content": "x"}, "'alien'"),
        ({"content": "x"}, "body.messages.0.role"),
        ({"role": "user", "content": "\ud800"}, "JSON"),
    ],
)
def test_messages_that_make_no_sense(message, part):
    with pytest.raises(ApiError) as caught:
        rendered([message])
    assert caught.value.status == 400
    assert part in caught.value.message


@pytest.mark.parametrize("effort", [None, "low", "medium", "high"])
def test_known_efforts(effort):
    harmony.check_effort(effort)
    expected = f"Reasoning: {effort or 'medium'}"
    assert expected in rendered([{"role": "user", "content": "Hi"}], effort=effort)


def test_the_date_is_pinned_by_the_environment():
    assert harmony.conversation_date({"VLLM_SYSTEM_START_DATE": "2020-02-02"}) == "2020-02-02"
    assert harmony.conversation_date({}) == date.today().isoformat()
    assert harmony.day_before("2024-03-01") == "2024-02-29"
    assert harmony.day_before("some day") < date.today().isoformat()


# -- answers --------------------------------------------------------------------------------------


def grown(token_ids, **options):
    answer = Answer(**{"with_tools": True, **options})
    deltas = [
        delta
        for index, each in enumerate(token_ids)
        for delta in answer.add(each, last=index == len(token_ids) - 1)
    ]
    return answer, deltas


def said(channel, text, end=END):
    return [*encode(f"<|channel|>{channel}<|message|>{text}"), end]


def next_turn(*args, **kwargs):
    return [*encode("<|start|>assistant"), *said(*args, **kwargs)]


def test_reasoning_then_content():
    answer, _ = grown([*said("analysis", "Hm, well."), *next_turn("final", "Yes.", RETURN)])
    assert answer.texts("reasoning") == ["Hm, well."]
    assert answer.texts("content") == ["Yes."]
    assert answer.reasoning_tokens == len(encode("Hm, well."))


def test_a_call_among_the_messages():
    preamble = "I will look."
    call = said("commentary to=functions.get_weather <|constrain|>json", '{"city":"Rome"}', CALL)
    ids = [*said("commentary", preamble), *encode("<|start|>assistant"), *call]
    answer, deltas = grown(ids)
    assert answer.texts("content") == [preamble]
    assert [(call.name, call.text) for call in answer.calls] == [("get_weather", '{"city":"Rome"}')]
    assert [delta.part.kind for delta in deltas if delta.new] == ["content", "call"]
    without, _ = grown(ids, with_tools=False)
    assert not without.calls
    assert without.texts("hidden") == ['{"city":"Rome"}']


def test_two_answers_are_two_parts():
    answer, _ = grown([*said("final", "One."), *next_turn("final", "Two.", RETURN)])
    assert answer.texts("content") == ["One.", "Two."]


@pytest.mark.parametrize(
    ("token_ids", "content"),
    [
        (encode("<|channel|>analysis"), "<|channel|>analysis"),
        ([*encode("no harmony at all"), RETURN], "no harmony at all"),
        ([*encode("no"), END, *next_turn("final", "yes", RETURN)], "no|yes"),
        ([CHANNEL, CHANNEL, MESSAGE, *encode("lost"), RETURN], "<|channel|><|channel|><|message|>lost"),
        ([RETURN], ""),
        ([*said("final", "a", RETURN), *encode(" stray "), *next_turn("final", "b", RETURN)], "a|b"),
    ],
)
def test_what_is_not_harmony_is_raw_text(token_ids, content):
    answer, _ = grown(token_ids)
    assert "|".join(answer.texts("content")) == content
    assert not answer.texts("reasoning")


@pytest.mark.parametrize("channel", ["analysis", "final"])
def test_a_character_split_over_tokens_appears_when_it_is_whole(channel):
    ids = encode("\U0001f701")
    assert len(ids) == 3
    _, deltas = grown([*encode(f"<|channel|>{channel}<|message|>"), *ids, END])
    assert [delta.text for delta in deltas if delta.text] == ["\U0001f701"]
    for end in ([], [END]):
        _, deltas = grown([*encode(f"<|channel|>{channel}<|message|>"), *ids[:2], *end])
        assert [delta.text for delta in deltas if delta.text] == ["\ufffd"]


HARMONY_LIKE = st.lists(
    st.one_of(
        st.sampled_from(
            [START, END, MESSAGE, CHANNEL, RETURN, CALL, 200003, 35644, 17196, 173781, 12606, 815]
        ),
        st.integers(0, 255),
        st.integers(0, 201087),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(HARMONY_LIKE)
def test_the_deltas_add_up_to_the_parts(token_ids):
    answer, deltas = grown(token_ids)
    for part in answer.parts:
        assert "".join(delta.text for delta in deltas if delta.part is part) == part.text
    assert [delta.part for delta in deltas if delta.new] == answer.parts


# -- tokens ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text())
def test_a_text_survives_its_tokens(text):
    ids = encode(text)
    assert decode(ids) == text
    assert b"".join(map(bytes_of, ids)) == text.encode()


def test_every_byte_has_a_visible_character():
    single = [token_id for token_id in range(256) if len(bytes_of(token_id)) == 1]
    shown = {byte_level(token_id) for token_id in single}
    assert len(shown) == len(single) == 256
    assert all(len(each) == 1 and each.isprintable() for each in shown)
    assert byte_level(encode(" fox")[0]) == "Ġfox"
