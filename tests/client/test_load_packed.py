"""Bodies that come packed unasked are read under load too, with the stamps of the reads."""

import asyncio
import gzip
import json
import uuid
from contextlib import suppress

import pytest

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, round_trip_ms, run_load
from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.timeouts import Timeouts

CHAT = "/v1/chat/completions"
ENDPOINT = Endpoint("http://127.0.0.1:1")
EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": "a"}, "token_ids": [1]}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": [2]}]},
    {"choices": [{"index": 0, "delta": {}, "token_ids": [], "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
]
STREAM = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in EVENTS) + b"data: [DONE]\n\n"


def read(head, *reads):
    """The timing of an answer that came in these reads, each stamped a microsecond after the one before."""
    loop = asyncio.new_event_loop()
    try:
        exchange = Exchange("POST", 0, loop.create_future())
        for place, part in enumerate((head, *reads)):
            exchange.add(1000 * place, part)
        reader = AnswerReader(
            LoadRequest("r0", CHAT, {"max_tokens": 8}),
            exchange,
            prompt_tokens=9,
            interpreter=Interpreter(ENDPOINT, "npu", "--npu-url"),
            timeouts=Timeouts(),
        )
        return reader.timing(None)
    finally:
        loop.close()


def head(coding, *, status=b"200 OK", kind=b"text/event-stream", length=0):
    return b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (
        status,
        kind,
        coding,
        length,
    )


def test_events_have_the_stamp_of_the_read_that_completed_them():
    first, second = gzip.compress(STREAM[:90]), gzip.compress(STREAM[90:])
    timing = read(head(b"gzip", length=len(first + second)), first, second[:9], second[9:])
    assert timing.error is None
    assert timing.token_ns == (1000, 3000)
    assert (timing.tokens, timing.counted_by) == ((1, 1), "ids")


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip"])
def test_a_coding_that_cannot_be_read_is_named(coding):
    error = read(head(coding, length=len(STREAM)), STREAM).error
    assert error.kind == "dialect"
    assert f"POST http://127.0.0.1:1{CHAT}: the answer comes packed as '{coding.decode()}'" in error.message
    assert "turn its compression off" in error.message


def test_a_stream_that_is_not_packed_as_it_says_is_told():
    error = read(head(b"gzip", length=len(STREAM)), STREAM).error
    assert (error.kind, "is not packed as gzip, as it says" in error.message) == ("dialect", True)


def test_a_stream_that_swells_beyond_all_answers_is_cut_off():
    packed = gzip.compress(b": " + bytes(40 * 2**20) + b"\n\n")
    error = read(head(b"gzip", length=len(packed)), packed).error
    assert error.kind in ("dialect", "stream")
    assert "of more than 8388608 bytes" in error.message or "longer than 16777216 bytes" in error.message


def test_many_packed_lines_that_swell_beyond_all_answers_are_cut_off():
    packed = gzip.compress((b": " + b"x" * 1000 + b"\n") * 40_000)
    error = read(head(b"gzip", length=len(packed)), packed).error
    assert (error.kind, "longer than 16777216 bytes" in error.message) == ("dialect", True)


def test_a_packed_refusal_is_quoted():
    body = gzip.compress(b'{"error": {"message": "no room for this one"}}')
    timing = read(head(b"gzip", status=b"503 Busy", kind=b"application/json", length=len(body)), body)
    assert "no room for this one" in timing.error.message


def test_a_refusal_that_cannot_be_unpacked_keeps_its_status():
    timing = read(head(b"br", status=b"503 Busy", kind=b"application/json", length=4), b"abcd")
    assert (timing.error.kind, "503" in timing.error.message) == ("status", True)


def test_a_real_stream_says_so_too(truth):
    body = {"stream": True, "max_tokens": 4, "messages": [], "truth": {"encoding": "br"}}
    job = LoadJob(LoadTarget(truth.endpoint), [LoadRequest(uuid.uuid4().hex, CHAT, body)], 1)
    run = run_load(job, on_end=lambda _: None)
    assert "comes packed as 'br'" in run.requests[0].error.message


@pytest.mark.asyncio
async def test_round_trips_do_not_look_at_the_body():
    """One that says it is packed and is not would otherwise end the level."""
    gone = asyncio.Event()

    async def answer(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        gone.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        times = await round_trip_ms(LoadTarget(Endpoint(f"http://127.0.0.1:{port}")))
        await asyncio.wait_for(gone.wait(), 20)
    assert len(times) == 9
