"""What the ground-truth server is asked for, and what it writes for it."""

import json
import zlib

import pytest

from pytest_gptoss.client.content_decoding import ContentDecoder
from pytest_gptoss.client.load.framing import Dechunker
from pytest_gptoss.client.sse import SseDecoder
from pytest_gptoss.judge.vocabulary import TURN
from pytest_gptoss.truth.script import FAULTS, Script, ScriptError
from pytest_gptoss.truth.timeline import timeline


def events(writes):
    raw = b"".join(write.data for write in writes).partition(b"\r\n\r\n")[2]
    body = bytearray()
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        body += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]
    return [event.data for event in SseDecoder().feed(bytes(body))]


@pytest.mark.parametrize("text", ["content", "reasoning", "none", "harmony"])
@pytest.mark.parametrize("chat", [True, False])
def test_a_timeline_says_what_it_writes(text, chat):
    writes = timeline(Script(text=text, per_event=3), 10, chat=chat)
    chunks = [json.loads(each) for each in events(writes)[:-1]]
    assert events(writes)[-1] == "[DONE]"
    ids = [len(choice.get("token_ids", ())) for chunk in chunks for choice in chunk["choices"]]
    assert (
        [size for size in ids if size] == [write.tokens for write in writes if write.tokens] == [3, 3, 3, 1]
    )
    assert chunks[-1]["usage"]["completion_tokens"] == 10
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert any(write.text for write in writes) is (text != "none")


def test_a_chat_prompt_is_told_by_its_ids_where_it_should_be():
    chunks = [json.loads(each) for each in events(timeline(Script(prompt_ids=True), 3, chat=True))[:-1]]
    assert chunks[0]["prompt_token_ids"] == list(TURN)
    assert chunks[-1]["usage"]["prompt_tokens"] == len(TURN)
    assert not any("prompt_token_ids" in each for each in chunks[1:])


def test_tokens_are_due_on_schedule():
    writes = timeline(Script(first_token_ms=50, interval_ms=4, per_event=2), 6, chat=True)
    assert [write.due_ms for write in writes if write.tokens] == [50, 58, 66]


def test_the_role_comes_with_the_first_token_unless_asked_otherwise():
    assert timeline(Script(first_token_ms=50), 1, chat=True)[1].due_ms == 50
    assert timeline(Script(first_token_ms=50, role_ms=1), 1, chat=True)[1].due_ms == 1


def test_a_split_event_counts_with_its_last_piece():
    writes = timeline(Script(first_token_ms=10, interval_ms=0, split=7, split_ms=1), 1, chat=True)
    whole = timeline(Script(), 1, chat=True)
    assert events(writes) == events(whole)
    place = next(at for at, write in enumerate(writes) if write.tokens)
    assert writes[place - 1].data.startswith(b"7\r\n")
    assert writes[place].due_ms == writes[place - 1].due_ms + 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], "expected an object"),
        ({"first_token": 1}, "unknown"),
        ({"fault": "flood"}, "knows no such"),
        ({"first_token_ms": -1}, "knows no such"),
        ({"first_token_ms": float("nan")}, "knows no such"),
        ({"per_event": 0}, "knows no such"),
        ({"tokens": True}, "knows no such"),
        ({"ids": 1}, "knows no such"),
        ({"burst": 0}, "knows no such"),
        ({"encoding": "zstd"}, "knows no such"),
        ({"buffer": -1}, "knows no such"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(asked, words):
    with pytest.raises(ScriptError, match=words):
        Script().changed(asked)


def test_a_burst_comes_at_once_and_keeps_the_pace():
    writes = timeline(Script(first_token_ms=50, interval_ms=4, burst=3), 7, chat=True)
    assert [write.due_ms for write in writes if write.tokens] == [50, 50, 50, 62, 62, 62, 74]


def test_a_running_usage_counts_up_to_the_total():
    writes = timeline(Script(running_usage=True, per_event=4, ids=False), 10, chat=True)
    chunks = [json.loads(each) for each in events(writes)[:-1]]
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    assert counts == [4, 8, 10, 10]


@pytest.mark.parametrize("chat", [True, False])
def test_events_without_content_are_dropped_and_the_pace_is_kept(chat):
    script = Script(text="harmony", content_only=True, first_token_ms=50, interval_ms=4)
    kept = [write.due_ms for write in timeline(script, 20, chat=chat) if write.tokens]
    # A completion has one place for its text: only what shows nowhere is dropped.
    assert kept == [50 + 4 * place for place in range(10 if chat else 3, 20)]


def test_a_buffer_holds_bytes_back_until_it_is_full_or_the_answer_ends():
    plain, held = Script(), Script(buffer=1500)
    whole = timeline(plain, 12, chat=True)
    blocks = timeline(held, 12, chat=True)
    assert events(blocks) == events(whole)
    assert all(len(block.data) >= 1000 for block in blocks[:-1])
    assert all(block.data.count(b"data: ") > 1 for block in blocks[:-1])
    assert blocks[-1].data.endswith(b"\r\n0\r\n\r\n")
    assert sum(block.tokens for block in blocks) == 12
    assert {block.due_ms for block in blocks} <= {write.due_ms for write in whole}
    (at_the_end,) = timeline(Script(buffer=10**6), 12, chat=True)
    assert (at_the_end.due_ms, at_the_end.then) == (whole[-1].due_ms, "end")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_body_unpacks_event_by_event(encoding):
    writes = timeline(Script(encoding=encoding), 3, chat=True)
    assert b"content-encoding: " + encoding.encode() in writes[0].data
    decoder = ContentDecoder(encoding)
    bodies = [Dechunker().feed(write.data) for write in writes[1:]]
    parts = [b"".join(decoder.feed(body)) for body in bodies]
    assert sum(part.startswith(b"data: ") and part.endswith(b"\n\n") for part in parts) == 7
    assert b"".join(parts).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_timeline_with_an_end(fault):
    writes = timeline(Script(fault=fault), 8, chat=True)
    assert writes[-1].then != "next"
    assert all(write.then == "next" for write in writes[:-1])


def _unframed(data):
    """The body's bytes in a write of one chunk."""
    size, _, rest = data.partition(b"\r\n")
    return rest[: int(size, 16)]


@pytest.mark.parametrize("split", [1, 7, 11, 20])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_token_can_be_read_with_its_last_piece_and_not_before(encoding, split):
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    read = []
    for write in timeline(Script(encoding=encoding, split=split), 12, chat=True)[1:]:
        told = unpack.decompress(_unframed(write.data))
        if write.tokens:
            read.append(told)
    assert len(read) == 12
    assert all(told.endswith(b"\n\n") for told in read)
