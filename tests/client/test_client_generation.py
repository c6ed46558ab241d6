import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_transcripts import VERSIONS, sse_chunks, transcript

from pytest_gptoss.client.generation import (
    StreamedGeneration,
    chat_body,
    completion_body,
    estimated_tokens,
)
from pytest_gptoss.model.errors import DialectError, StreamError
from pytest_gptoss.model.inputs import Message
from pytest_gptoss.model.results import ToolCall

ANSWER = (
    200005, 35644, 200008, 2167, 1309, 316, 1147, 220, 17, 326, 220, 17, 13, 4569, 382, 220, 19, 13, 200007,
    200006, 173781, 200005, 17196, 200008, 17, 659, 220, 17, 314, 220, 19, 13, 200002,
)  # fmt: skip


def put_together(chunks, *, top=1, done=True, max_tokens=64):
    stream = StreamedGeneration(max_tokens)
    for chunk in chunks:
        stream.take(json.dumps(chunk))
    return stream.finished(prompt_id="p", top=top, done=done)


def choices(chunks):
    return [choice for chunk in chunks for choice in chunk["choices"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_chat_stream_becomes_one_answer(version):
    answer = put_together(sse_chunks(version, "chat_stream_logprobs_token_ids"))
    assert answer.token_ids == ANSWER
    assert (len(answer.prompt_token_ids), answer.prompt_token_ids[-1]) == (74, 173781)
    assert answer.reasoning == "We need to add 2 and 2. That is 4."
    assert answer.content == "2 + 2 = 4."
    assert answer.text == "We need to add 2 and 2. That is 4.\n2 + 2 = 4."
    assert (answer.prompt_id, answer.finish_reason) == ("p", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (74, 33)
    assert answer.tool_calls == ()
    assert answer.logprobs.shape == (33,)
    assert answer.logprobs[[0, -1]].tolist() == [-1.6859230995178223, -1.2555835247039795]
    assert answer.top.ids.tolist() == [[token] for token in ANSWER]
    np.testing.assert_allclose(answer.top.logprobs[:, 0], answer.logprobs, rtol=1e-7)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["chat_stream_logprobs_token_ids", "completion_stream_token_ids"])
def test_every_token_and_only_tokens_count_as_progress(version, name):
    stream = StreamedGeneration(64)
    progress = [stream.take(json.dumps(chunk)) for chunk in sse_chunks(version, name)]
    answer = stream.finished(prompt_id="p", top=1, done=True)
    assert sum(progress) == answer.completion_tokens
    # The role chunk of chat and the usage chunk carry no token; completions begin with one.
    assert progress[0] is (name == "completion_stream_token_ids")
    assert progress[-1] is False


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_completion_stream_becomes_one_answer(version):
    answer = put_together(sse_chunks(version, "completion_stream_token_ids"))
    assert answer.prompt_token_ids == (976, 4853, 19705, 68347)
    assert answer.token_ids == (65613, 1072, 290, 29082, 6446, 364, 976, 1268, 13, 200002)
    assert answer.content == " jumps over the lazy dog.\n\nThe end."
    assert (answer.reasoning, answer.finish_reason, answer.logprobs, answer.top) == ("", "stop", None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_tool_call_deltas_are_merged(version):
    answer = put_together(sse_chunks(version, "tools_stream_auto"))
    assert answer.tool_calls == (ToolCall("get_weather", '{"city":"Paris"}'),)
    assert answer.finish_reason == "tool_calls"
    assert answer.token_ids[-1] == 200012


def test_tool_calls_that_alternate_are_merged_by_their_index():
    deltas = [(1, "b", '{"y"'), (0, "a", "{"), (1, None, ":2}"), (0, None, "}")]
    chunks = [
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": i, "function": {"name": name, "arguments": text}}]}}
            ]
        }
        for i, name, text in deltas
    ]
    answer = put_together([*chunks, *ending(0, "tool_calls")])
    assert answer.tool_calls == (ToolCall("a", "{}"), ToolCall("b", '{"y":2}'))


def ending(tokens, reason="stop"):
    usage = {"prompt_tokens": 3, "completion_tokens": tokens}
    return [{"choices": [{"delta": {}, "finish_reason": reason}]}, {"choices": [], "usage": usage}]


def test_the_older_name_of_reasoning_is_understood():
    chunks = [
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"delta": {"content": "x"}}]},
    ]
    answer = put_together([*chunks, *ending(2)])
    assert (answer.reasoning, answer.content, answer.token_ids) == ("hm", "x", None)


def test_token_ids_inside_the_delta_are_found():
    chunk = {"choices": [{"delta": {"content": "x", "token_ids": [5, 6]}, "prompt_token_ids": [1, 2, 3]}]}
    answer = put_together([chunk, *ending(2)])
    assert (answer.token_ids, answer.prompt_token_ids) == ((5, 6), (1, 2, 3))


def test_an_empty_answer_is_an_answer():
    answer = put_together(ending(0, "length"))
    assert (answer.token_ids, answer.text, answer.completion_tokens) == ((), "", 0)


@pytest.mark.parametrize(("details", "cached"), [({}, None), (None, None), ({"cached_tokens": 3}, 3)])
def test_tokens_from_the_prefix_cache_are_told_where_usage_tells_them(details, cached):
    answer = StreamedGeneration(8)
    assert answer.cached_tokens is None
    *chunks, last = ending(0)
    last["usage"]["prompt_tokens_details"] = details
    for chunk in [*chunks, last]:
        answer.take(json.dumps(chunk))
    assert answer.cached_tokens == cached


def without_ids(chunks):
    for chunk in chunks:
        chunk.pop("prompt_token_ids", None)
        for choice in chunk["choices"]:
            choice.pop("token_ids", None)
    return chunks


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_without_token_ids_gives_them_by_its_logprobs(version):
    answer = put_together(without_ids(sse_chunks(version, "chat_stream_logprobs_token_ids")))
    assert answer.token_ids == ANSWER
    assert answer.prompt_token_ids is None
    assert answer.logprobs.shape == (33,)


@pytest.mark.parametrize("version", VERSIONS)
def test_logprobs_by_text_are_no_token_ids(version):
    # 0.18.1 leaves the header tokens out here, 0.32 does not; neither names tokens by id.
    answer = put_together(sse_chunks(version, "chat_stream_logprobs"), top=2)
    assert (answer.token_ids, answer.logprobs, answer.top) == (None, None, None)
    assert answer.reasoning.startswith("We need")


def test_withheld_reasoning_withholds_the_ids_on_the_newer_generation():
    assert put_together(sse_chunks("0.18.1", "chat_stream_include_reasoning_false")).token_ids == ANSWER
    assert put_together(sse_chunks("0.32.0", "chat_stream_include_reasoning_false")).token_ids is None


def test_an_error_event_in_the_stream_is_raised_with_its_reason():
    with pytest.raises(
        StreamError, match=r"carries an error .Unexpected token 19 while expecting start token"
    ):
        put_together(sse_chunks("0.18.1", "chat_stream_ignore_eos"))
    assert len(put_together(sse_chunks("0.32.0", "chat_stream_ignore_eos")).token_ids) == 48


def test_a_stream_without_usage_says_so():
    for version in VERSIONS:
        with pytest.raises(StreamError, match=r"ended without usage, after \d+ .*include_usage"):
            put_together(sse_chunks(version, "chat_stream_no_usage"))


@pytest.mark.parametrize(
    ("kept", "done", "missing"),
    [
        (slice(0, -2), True, "without finish_reason and usage,"),
        (slice(0, 5), False, r"without finish_reason, usage and \[DONE\], after 4 events"),
        (slice(0, None), False, r"without \[DONE\], after 33 events .*cut it"),
        (slice(0, 0), False, r"without finish_reason, usage and \[DONE\], after 0 events"),
    ],
)
def test_each_missing_end_mark_is_named(kept, done, missing):
    chunks = sse_chunks("0.32.0", "chat_stream_logprobs_token_ids")[kept]
    with pytest.raises(StreamError, match=missing):
        put_together(chunks, done=done)


def changed(change, version="0.32.0"):
    chunks = sse_chunks(version, "chat_stream_logprobs_token_ids")
    change(chunks)
    return chunks


def entry(chunks, place):
    return choices(chunks)[place]["logprobs"]["content"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop(7), "32 token ids came, but usage counts 33 completion tokens"),
        (lambda c: c[-1]["usage"].update(completion_tokens=40), "33 token ids came, but usage counts 40"),
        (lambda c: choices(c)[4].update(logprobs=None), "32 log-probabilities came for 33 tokens"),
        (lambda c: entry(c, 3).update(token="token_id:7"), "2 is that of token 7, but token_ids say 200008"),
        (lambda c: entry(c, 3).update(logprob=None), "logprobs at position 2 is None"),
        (lambda c: entry(c, 1).update(logprob=float("nan")), "logprobs at position 0 is nan"),
        (lambda c: entry(c, 1).update(logprob=-float("inf")), "logprobs at position 0 is -inf"),
        (lambda c: entry(c, 2)["top_logprobs"][0].update(logprob=None), "at position 1 hold None"),
        (lambda c: choices(c)[2].update(logprobs={"content": [{"token": "x"}]}), "neither chat's form nor"),
        (lambda c: choices(c)[2].update(logprobs={"tokens": ["x"]}), "neither chat's form nor"),
        (lambda c: choices(c)[2].update(logprobs=[1]), "neither chat's form nor"),
        (lambda c: choices(c)[2].update(token_ids=["x"]), r"token_ids\[0\] is 'x'"),
        (lambda c: choices(c)[2].update(delta=[1]), "delta is .1.: expected dict"),
        (lambda c: choices(c)[2]["delta"].update(content=7), "content is 7: expected str"),
        (lambda c: c[2].update(choices="no"), "choices is 'no': expected list"),
        (lambda c: c[2].update(choices=["no"]), "choices.. is 'no': expected dict"),
        (lambda c: c[-1]["usage"].update(completion_tokens="33"), "expected int"),
        (lambda c: c[-1]["usage"].update(prompt_tokens=True), "expected int"),
        (lambda c: c[-1].update(usage=[1]), "usage is .1.: expected dict"),
        (lambda c: choices(c)[2]["delta"].update(tool_calls=[{"index": "a"}]), "index is 'a': expected int"),
        (lambda c: choices(c)[2]["delta"].update(tool_calls=[{"function": "f"}]), "is 'f': expected dict"),
    ],
)  # fmt: skip
def test_an_answer_that_disagrees_with_itself_says_how(change, message):
    with pytest.raises(DialectError, match=message) as caught:
        put_together(changed(change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["", "nonsense", "[1]", "[" * 100_000, "\ud800"])
def test_an_event_that_is_no_json_object_is_refused(data):
    with pytest.raises(StreamError, match="expected a JSON object"):
        StreamedGeneration(5).take(data)


def test_a_server_that_ignores_max_tokens_is_stopped():
    with pytest.raises(DialectError, match="more tokens came than max_tokens 10 allows"):
        put_together(sse_chunks("0.32.0", "chat_stream_logprobs_token_ids"), max_tokens=10)
    stream = StreamedGeneration(10)
    text = json.dumps({"choices": [{"delta": {"content": "x"}}]})
    with pytest.raises(DialectError, match="max_tokens 10"):
        [stream.take(text) for _ in range(100)]


def test_top_logprobs_are_ranked_and_cut_to_what_was_asked_for():
    alternatives = [{"token": f"token_id:{n}", "logprob": -float(n)} for n in (3, 1, 2)]
    content = [{"token": "token_id:3", "logprob": -3.0, "top_logprobs": alternatives}]
    chunk = {"choices": [{"delta": {}, "token_ids": [3], "logprobs": {"content": content}}]}
    answer = put_together([chunk, *ending(1)], top=2)
    assert answer.top.ids.tolist() == [[1, 2]]
    assert answer.top.logprobs.tolist() == [[-1.0, -2.0]]


def test_completions_logprobs_are_three_lists_side_by_side():
    logprobs = {
        "tokens": ["token_id:5", "token_id:6"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"token_id:5": -1.0, "token_id:9": -3.0}, {"token_id:8": -1.5, "token_id:6": -2.0}],
        "text_offset": [0, 4],
    }
    chunk = {"choices": [{"text": "ab", "token_ids": [5, 6], "logprobs": logprobs}]}
    answer = put_together([chunk, *ending(2)], top=3)
    assert answer.logprobs.tolist() == [-1.0, -2.0]
    assert answer.top.ids.tolist() == [[5, 9, -1], [8, 6, -1]]


@given(st.text(), st.integers(0, 40))
def test_text_survives_any_split_even_inside_a_character(text, seed):
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [units[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(units), 2)]
    chunks = [{"choices": [{"delta": {"content": half}}]} for half in halves]
    stream = StreamedGeneration(len(chunks) + seed)
    for chunk in [*chunks, *ending(len(halves))]:
        stream.take(json.dumps(chunk))
    content = stream.finished(prompt_id="p", top=None, done=True).content
    content.encode()
    assert content == text


@pytest.mark.parametrize("version", VERSIONS)
def test_the_chat_request_is_the_recorded_one_and_greedy(version):
    recorded = transcript(version, "chat_stream_logprobs_token_ids")["request"]["body"]
    body = chat_body([Message("user", "What is 2+2?")], max_tokens=64, top=1)
    assert body == {**{k: v for k, v in recorded.items() if k != "model"}, "top_p": 1}
    plain = chat_body([Message("user", "x")], max_tokens=64, top=None)
    assert not {"logprobs", "top_logprobs"} & plain.keys()


def test_the_completion_request_stops_where_chat_stops():
    body = completion_body((1, 2), max_tokens=7, top=20)
    assert (body["prompt"], body["max_tokens"], body["logprobs"]) == ([1, 2], 7, 20)
    assert body["stop_token_ids"] == [200002, 200012]
    assert "logprobs" not in completion_body((1, 2), max_tokens=7, top=None)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_guess_of_a_prompts_length_is_not_too_low(version):
    chunks = sse_chunks(version, "chat_stream_usage")
    assert estimated_tokens([Message("user", "What is 2+2?")]) >= chunks[-1]["usage"]["prompt_tokens"]
