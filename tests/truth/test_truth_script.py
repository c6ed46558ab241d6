"""What the ground-truth server is asked for, and what it writes for it."""

import json

import pytest

from pytest_gptoss.client.sse import SseDecoder
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
    ],
)
def test_a_script_that_cannot_be_played_is_refused(asked, words):
    with pytest.raises(ScriptError, match=words):
        Script().changed(asked)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_timeline_with_an_end(fault):
    writes = timeline(Script(fault=fault), 8, chat=True)
    assert writes[-1].then != "next"
    assert all(write.then == "next" for write in writes[:-1])
