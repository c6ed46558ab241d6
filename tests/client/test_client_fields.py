"""Null reads as absent, markers are read without the blanks around them, and a quote shows its blanks."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_transcripts import VERSIONS, response_body, sse_chunks

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.fields import count_field, dict_field, int_field, list_field, text_field
from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.client.load.reading import StampedStream
from pytest_gptoss.client.logprobs import token_id_named
from pytest_gptoss.client.models import served_models
from pytest_gptoss.client.pooling import states_from_bytes
from pytest_gptoss.client.sse import SseDecoder, ends_stream
from pytest_gptoss.client.stream_event import read_event, read_unary
from pytest_gptoss.model.errors import DialectError, StreamError
from pytest_gptoss.model.results import Generation, ToolCall

STREAMS = ("chat_stream_logprobs_token_ids", "completion_stream_token_ids", "tools_stream_auto")


def put_together(chunks) -> Generation:
    stream = StreamedGeneration(64)
    for chunk in chunks:
        stream.take(json.dumps(chunk))
    return stream.finished(prompt_id="p", top=1, done=True)


def told(answer):
    """What an answer says, its arrays as lists."""
    logprobs = None if answer.logprobs is None else answer.logprobs.tolist()
    return (
        answer.token_ids, answer.prompt_token_ids, answer.reasoning, answer.content, answer.tool_calls,
        answer.finish_reason, answer.prompt_tokens, answer.completion_tokens, logprobs,
    )  # fmt: skip


# -- null is absent -----------------------------------------------------------------------------

OPTIONAL = (
    "index", "prompt_token_ids", "token_ids", "logprobs", "finish_reason", "usage", "delta", "reasoning",
    "reasoning_content", "content", "text", "tool_calls", "function", "name", "arguments", "top_logprobs",
    "prompt_tokens_details", "cached_tokens", "error", "object", "stop_reason", "service_tier",
)  # fmt: skip


def with_nulls(value, drawn):
    """The same JSON, with null at any optional field that is absent, or stands at its default."""
    if isinstance(value, list):
        return [with_nulls(each, drawn) for each in value]
    if not isinstance(value, dict):
        return value
    filled = {key: with_nulls(each, drawn) for key, each in value.items()}
    if filled.get("index") == 0 and drawn("index"):
        filled["index"] = None
    return {**{name: None for name in OPTIONAL if name not in value and drawn(name)}, **filled}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_null_for_an_absent_field_changes_nothing(version, name, data):
    chunks = sse_chunks(version, name)
    nulls = data.draw(st.sets(st.sampled_from(OPTIONAL)))
    filled = [with_nulls(chunk, nulls.__contains__) for chunk in chunks]
    assert told(put_together(filled)) == told(put_together(chunks))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_null_at_once_changes_nothing_in_a_whole_answer(version):
    answer = response_body(version, "tools_auto")
    filled = read_unary(with_nulls(answer, lambda _: True))
    assert filled == read_unary(answer)
    assert [call.name for call in filled.tools] == ["get_weather"]


def ended(*choices):
    chunks = [{"choices": [choice]} for choice in choices]
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return [*chunks, {"choices": [{"index": None, "delta": {}, "finish_reason": "stop"}]}, {"usage": usage}]


def test_calls_without_an_index_stand_at_their_place():
    calls = [
        {"index": None, "function": {"name": "a", "arguments": "{"}},
        {"function": {"name": "b", "arguments": None}},
    ]
    more = [{"index": None, "function": {"name": None, "arguments": "}"}}]
    answer = put_together(
        ended({"index": None, "delta": {"tool_calls": calls}}, {"delta": {"tool_calls": more}})
    )
    assert answer.tool_calls == (ToolCall("a", "{}"), ToolCall("b", ""))


def test_the_first_choice_is_the_one_without_an_index():
    event = read_event('{"choices": [{"index": 1, "text": "b"}, {"index": null, "text": "a"}]}')
    assert event.content == "a"


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 0}]
)
def test_usage_that_counts_nothing_is_none(usage):
    assert read_event(json.dumps({"choices": [], "usage": usage})).usage is None


def test_log_probabilities_that_are_null_are_none():
    for logprobs in (None, {"content": None}, {"tokens": None, "token_logprobs": None, "top_logprobs": None}):
        answer = put_together(ended({"delta": {"content": "x"}, "token_ids": [1, 2], "logprobs": logprobs}))
        assert (answer.token_ids, answer.logprobs, answer.top) == ((1, 2), None, None)


def test_null_in_the_lists_and_headers_of_other_endpoints_is_absent():
    (model,) = served_models({"data": [{"id": "m", "max_model_len": None}]})
    assert model.max_model_len is None
    item = {"embed_dtype": "float32", "endianness": None, "shape": [1, 1]}
    header = {"metadata": json.dumps({"data": [item]})}
    states = states_from_bytes(header, b"\0\0\0\0", sequence_id="s", token_ids=(1,))
    assert states.states.tolist() == [[0.0]]


@pytest.mark.parametrize("read", [dict_field, list_field, text_field])
def test_a_field_of_another_type_is_refused(read):
    assert not read({"a": None}, "a")
    assert not read({}, "a")
    with pytest.raises(DialectError, match="a is 5: expected"):
        read({"a": 5}, "a")


@pytest.mark.parametrize("value", [True, 1.0, "1", [], {}, float("nan")])
def test_what_is_no_whole_number_is_refused(value):
    assert (int_field({"a": None}, "a", 7), count_field({}, "a", 7)) == (7, 7)
    for read in (int_field, count_field):
        with pytest.raises(DialectError, match=r"it\[\] is .*: expected int"):
            read({"a": value}, "a", 0, label="it[]")


# -- markers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["[DONE]", "[DONE] ", " [DONE]", "[DONE]\t", "\u00a0[DONE]  "])
def test_the_end_is_seen_whatever_blanks_stand_around_it(mark):
    (event,) = SseDecoder().feed(f"data: {mark}\r\n\r\n".encode())
    assert ends_stream(event.data)
    stream = StampedStream(8)
    stream.take(event.data, 1)
    assert stream.done


@pytest.mark.parametrize("data", ["[done]", "[DONE", "DONE", "[ DONE ]", '"[DONE]"', ""])
def test_what_is_not_the_mark_ends_nothing(data):
    assert not ends_stream(data)


def test_other_markers_are_read_without_blanks():
    assert token_id_named("token_id:17 ") == 17
    assert read_event('{"choices": [{"finish_reason": " stop "}]}').finish_reason == "stop"


# -- quotes -------------------------------------------------------------------------------------


def test_a_quote_shows_its_blanks():
    assert shown("a  b ") == "'a  b '"
    assert shown(["\t", "\u3000", "\n"]) == r"['\t', '\u3000', '\n']"
    with pytest.raises(StreamError, match=r"an event holds '\[DONE\] {2}x ': expected a JSON object"):
        read_event("[DONE]  x ")


@given(st.text(max_size=300), st.integers(10, 60))
def test_a_quote_is_one_printable_line_within_the_limit(text, limit):
    quoted = shown(text, limit)
    assert len(quoted) <= limit
    assert quoted.isprintable()
    assert quoted == repr(text) or quoted.endswith("...")
