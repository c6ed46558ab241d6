"""Reading off the hot path: how much of it happens in one go, whoever waits to be read."""

import asyncio
import itertools
import json
from functools import partial

import pytest

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.load import LoadRequest, answer, backlog
from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.client.load.backlog import SLICE_NS, Backlog
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.timeouts import Timeouts

pytestmark = pytest.mark.asyncio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = 300
TICK_NS = 20_000
"""So much passes, on the clock of these tests, between two looks at it."""


@pytest.fixture
def ticks(monkeypatch):
    """How often the clock was looked at: once or so for each piece that is read."""
    count = itertools.count()
    for module in (answer, backlog):
        monkeypatch.setattr(module, "monotonic_ns", lambda: next(count) * TICK_NS)
    return lambda: next(count)


def chunk(event):
    data = b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


TOKEN = chunk({"choices": [{"delta": {"content": "a"}, "token_ids": [5]}]})


def reader_of(exchange, max_tokens=EVENTS):
    return AnswerReader(
        LoadRequest("r", "/v1/chat/completions", {"max_tokens": max_tokens}),
        exchange,
        prompt_tokens=10,
        interpreter=Interpreter(Endpoint("http://127.0.0.1:1"), "npu", "--npu-url"),
        timeouts=Timeouts(),
    )


def long_answer():
    exchange = Exchange("POST", 0, asyncio.get_running_loop().create_future())
    exchange.add(0, HEAD)
    for stamp in range(EVENTS):
        exchange.add(stamp, TOKEN)
    return reader_of(exchange)


@pytest.mark.parametrize("in_flight", [True, False])
async def test_many_long_answers_are_read_a_slice_at_a_time(ticks, monkeypatch, in_flight):
    """What happens between two turns of the event loop is one slice, not one for each answer."""
    monkeypatch.setattr(backlog, "PAUSE_S", 0)
    readers, done = [long_answer() for _ in range(16)], []
    waiting = Backlog(done.append)
    for reader in readers:
        if in_flight:
            waiting.look(reader, partial(done.append, reader))
        else:
            waiting.add(reader, None)
    turns = [ticks()]
    while len(done) < len(readers):
        await asyncio.sleep(0)
        turns.append(ticks())
    # Finishing an answer looks at the clock once more.
    assert max(after - before for before, after in itertools.pairwise(turns)) <= SLICE_NS // TICK_NS + 10
    assert turns[-1] - turns[0] > 16 * EVENTS
    if in_flight:
        assert done == readers


async def test_an_answer_in_flight_is_looked_at_before_those_that_have_ended(ticks, monkeypatch):
    monkeypatch.setattr(backlog, "PAUSE_S", 0)
    done, looked = [], asyncio.Event()
    waiting = Backlog(done.append)
    waiting.add(long_answer(), None)
    waiting.look(long_answer(), looked.set)
    await looked.wait()
    assert done == []
    waiting.drain()
    assert len(done) == 1


async def test_a_head_in_pieces_costs_no_token_when_it_is_looked_at_early():
    exchange = Exchange("POST", 0, asyncio.get_running_loop().create_future())
    exchange.add(1, HEAD[:20])
    reader = reader_of(exchange, max_tokens=1)
    assert reader.advance(0)
    exchange.add(2, HEAD[20:] + TOKEN)
    for event in (
        {"choices": [{"delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
        b"[DONE]",
    ):
        exchange.add(3, chunk(event))
    timing = reader.timing(None)
    assert (timing.error, timing.token_ns) == (None, (2,))
