"""One answer's events read into stamps and counts: the servers' own transcripts, and what may be missing."""

import json

import pytest
from wire_transcripts import VERSIONS, sse_chunks

from pytest_gptoss.client.load.reading import StampedStream
from pytest_gptoss.model.errors import DialectError, StreamError


def read(chunks, *, max_tokens=64, done=True):
    stream = StampedStream(max_tokens)
    for stamp, chunk in enumerate(chunks):
        stream.take(json.dumps(chunk), stamp)
    if done:
        stream.take("[DONE]", len(chunks))
    return stream


def delta(**fields):
    ids = {"token_ids": fields.pop("token_ids")} if "token_ids" in fields else {}
    return {"choices": [{"index": 0, "delta": fields, **ids}]}


END = [
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_stream_has_a_stamp_for_each_token(version):
    stream = read(sse_chunks(version, "chat_stream_logprobs_token_ids"))
    stream.finish()
    assert stream.counted().tokens == (1,) * 33
    # The role chunk is event 0; three harmony tokens without text come before the first word.
    assert stream.token_ns == list(range(1, 34))
    assert stream.first_text_ns == 4
    assert (stream.usage.prompt, stream.usage.completion, stream.finish_reason) == (74, 33, "stop")


@pytest.mark.parametrize("version", VERSIONS)
def test_completions_begin_with_a_token(version):
    stream = read(sse_chunks(version, "completion_stream_token_ids"))
    stream.finish()
    assert stream.token_ns[0] == 0
    assert stream.first_text_ns == 0
    assert sum(stream.counted().tokens) == stream.usage.completion


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["chat_stream_logprobs_token_ids", "completion_stream_token_ids"])
def test_token_ids_are_kept(version, name):
    chunks = sse_chunks(version, name)
    stream = read(chunks)
    assert len(stream.prompt_ids) == stream.usage.prompt
    assert len(stream.output_ids) == stream.usage.completion
    told = [each for chunk in chunks for each in chunk["choices"]]
    assert stream.output_ids == [token for each in told for token in each.get("token_ids") or ()]


def test_a_server_that_tells_no_ids_leaves_none():
    stream = read([delta(content="a"), *END])
    assert (stream.prompt_ids, stream.output_ids) == (None, None)


def test_a_role_or_an_empty_delta_is_no_token():
    stream = read([delta(role="assistant", content=""), delta(), delta(token_ids=[]), delta(content="x")])
    assert stream.token_ns == [3]


def test_what_the_event_carries_is_counted():
    stream = read([delta(token_ids=[1, 2, 3]), delta(content="ab", token_ids=[4, 5])])
    assert (stream.counted().tokens, stream.token_ns, stream.first_text_ns) == ((3, 2), [0, 1], 1)


def test_a_running_usage_counts_where_ids_are_missing():
    chunks = [
        {**delta(role="assistant"), "usage": {"prompt_tokens": 9, "completion_tokens": 0}},
        {**delta(content="a"), "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
        {**delta(content="b"), "usage": {"prompt_tokens": 9, "completion_tokens": 6}},
    ]
    assert read(chunks).counted() == ((1, 2), (4, 2), "usage")


def test_without_any_count_an_event_is_one_token():
    found = read([delta(content="a"), delta(reasoning="b"), delta(tool_calls=[{"index": 0}])]).counted()
    assert (found.tokens, found.counted_by) == ((1, 1, 1), None)


def running(completion, **fields):
    return {**delta(**fields), "usage": {"prompt_tokens": 9, "completion_tokens": completion}}


def test_ids_that_come_to_the_total_account_for_every_token():
    found = read([delta(role="assistant"), delta(token_ids=[1]), delta(content="x", token_ids=[2]), *END])
    assert found.counted() == ((1, 2), (1, 1), "ids")


def test_text_without_ids_beside_events_with_ids_is_no_token():
    """The end of a token's text in an event of its own, or words that a gateway puts in front."""
    found = read([delta(content="thinking "), delta(content="a", token_ids=[1, 2]), delta(content="b"), *END])
    assert found.counted() == ((1,), (2,), "ids")
    assert found.first_text_ns == 0


def test_a_running_usage_counts_tokens_that_do_not_show():
    """Harmony's header, held back, and a last token that the finishing event stands for."""
    chunks = [running(0, role="assistant"), running(1), running(3, content="a"), running(3, content="b")]
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    found = read([*chunks, {**finish, **usage}, {"choices": [], **usage}])
    assert found.counted() == ((1, 2, 4), (1, 2, 1), "usage")


@pytest.mark.parametrize(
    ("chunks", "total"),
    [
        ([delta(content="a"), delta(content="b")], 2),  # as many events as tokens, by chance or not
        ([delta(content="a"), delta(content="b")], 20),  # most events were dropped
        ([running(1, content="a"), delta(content="b")], 2),  # some events tell no count
        ([running(1, content="a"), running(2, content="b")], 3),  # the last token came in no event
        ([running(2, content="a"), running(1, content="b")], 1),  # a count that falls
        ([running(0, content="a"), running(0, content="b")], 2),  # a count that does not run
    ],
)
def test_tokens_that_neither_ids_nor_usage_place_are_unaccounted(chunks, total):
    end = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": total}}
    found = read([*chunks, END[0], end]).counted()
    assert found == ((0, 1), (1, 1), None)


def test_cached_tokens_are_kept_where_the_server_tells():
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}}
    assert read([{"choices": [], "usage": usage}]).usage.cached == 8
    assert read(END).usage.cached is None


@pytest.mark.parametrize(
    ("chunks", "done", "missing"),
    [
        ([delta(content="x"), END[1]], True, "without finish_reason,"),
        ([delta(content="x"), END[0]], True, "without usage,"),
        ([delta(content="x"), *END], False, r"without \[DONE\],"),
    ],
)
def test_a_stream_without_an_end_mark_is_a_failure(chunks, done, missing):
    stream = read(chunks, done=done)
    with pytest.raises(StreamError, match=missing):
        stream.finish()


def test_ids_that_usage_does_not_count_are_a_failure():
    stream = read([delta(token_ids=[1]), *END])
    with pytest.raises(DialectError, match="1 token ids came, but usage counts 2"):
        stream.finish()


def test_more_than_asked_for_is_a_failure():
    with pytest.raises(DialectError, match="max_tokens 2"):
        read([delta(token_ids=[1, 2]), delta(token_ids=[3])], max_tokens=2)


def test_what_follows_the_end_is_not_looked_at():
    stream = read([delta(token_ids=[1, 2]), *END])
    stream.take("no json", 99)
    stream.finish()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_running_usage_counts_as_the_ids_do(version):
    chunks = sse_chunks(version, "chat_stream_token_ids_continuous_usage")
    by_ids = read(chunks).counted()
    assert by_ids.counted_by == "ids"
    for chunk in chunks:
        for choice in chunk["choices"]:
            choice.pop("token_ids", None)
    assert read(chunks).counted() == (*by_ids[:2], "usage")
