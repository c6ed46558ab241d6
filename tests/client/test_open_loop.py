"""The open loop keeps its schedule whatever the server does, as the server's own stamps tell."""

import asyncio
import os
import signal
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest

from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load
from pytest_gptoss.client.load.open_loop import run_open_loop
from pytest_gptoss.client.load.transport import StampingTransport
from pytest_gptoss.scenarios.truth import truth_server

MS = 1_000_000
CHAT = "/v1/chat/completions"
QUICK = {"first_token_ms": 5, "interval_ms": 1}
SLOW = {"first_token_ms": 1500, "interval_ms": 1}


def requests(count, truth, *, tokens=3, asked=None):
    name = uuid.uuid4().hex
    body = {"stream": True, "max_tokens": tokens, "messages": [], "truth": truth}
    return [LoadRequest(f"{name}-{place}", CHAT, body, asked) for place in range(count)]


def load(server, sent, **fields):
    """The run of a job, and what the server did with each of its requests, in the order given."""
    ended = []
    job = LoadJob(LoadTarget(server.endpoint), sent, fields.pop("concurrency", 2), **fields)
    run = run_load(job, on_end=ended.append)
    stamps = server.stamps()
    assert sorted(each.id for each in ended) == sorted(each.id for each in run.requests)
    return run, [stamps[each.id] for each in run.requests]


def test_every_request_is_sent_on_the_schedule_and_none_before_it(truth):
    due = [place * 23 * MS + place % 3 for place in range(30)]
    run, true = load(truth, requests(30, QUICK), due_ns=due)
    assert [each.error for each in run.requests] == [None] * 30
    assert [each.intended_ns - run.started_ns for each in run.requests] == due
    sent = [each.sent_ns for each in run.requests]
    assert sent == sorted(sent)
    assert all(each.sent_ns >= each.start_ns >= each.intended_ns for each in run.requests)
    assert all(seen.read_ns >= each.sent_ns for each, seen in zip(run.requests, true, strict=True))


def test_a_server_that_answers_late_does_not_delay_what_is_sent(truth):
    due = [place * 20 * MS for place in range(20)]
    run, true = load(truth, requests(20, SLOW), due_ns=due, concurrency=1)
    assert [each.error for each in run.requests] == [None] * 20
    first_answer = min(seen.token_ns[0] for seen in true)
    assert all(seen.read_ns < first_answer for seen in true)
    # A closed loop waits for the answers: of its requests only the first is there before one.
    _, true = load(truth, requests(2, SLOW), concurrency=1)
    assert true[1].read_ns > true[0].token_ns[0]


def test_a_server_that_stands_still_does_not_delay_what_is_sent():
    with truth_server() as server:
        stopped, resumed = [], []

        def stop_a_while():
            os.kill(server.process.process.pid, signal.SIGSTOP)
            stopped.append(time.monotonic_ns())
            time.sleep(1.5)
            resumed.append(time.monotonic_ns())
            os.kill(server.process.process.pid, signal.SIGCONT)

        stall = threading.Timer(0.3, stop_a_while)
        stall.start()
        run, true = load(server, requests(40, QUICK), due_ns=[place * 50 * MS for place in range(40)])
        stall.join()
    assert [each.error for each in run.requests] == [None] * 40
    (begin,), (end,) = stopped, resumed
    meanwhile = [each for each in run.requests if begin < each.intended_ns < end - 500 * MS]
    assert len(meanwhile) > 10
    assert all(each.sent_ns < end for each in meanwhile)
    # The server reads them when it goes on, and their answers come late by what the stop has left.
    names = {each.id for each in meanwhile}
    assert all(seen.read_ns >= end for seen in true if seen.id in names)
    assert all(each.token_ns[0] - each.intended_ns > 500 * MS for each in meanwhile)


def test_requests_that_are_due_at_once_are_sent_at_once(truth):
    run, true = load(truth, requests(12, SLOW), due_ns=[100 * MS] * 12, concurrency=1)
    assert {each.intended_ns for each in run.requests} == {run.started_ns + 100 * MS}
    assert all(seen.read_ns < min(each.token_ns[0] for each in true) for seen in true)


def test_a_request_remembers_what_was_asked_of_it(truth):
    run, _ = load(truth, requests(1, QUICK, asked=(7, 3)), due_ns=[0])
    assert run.requests[0].asked == (7, 3)
    run, _ = load(truth, requests(1, QUICK))
    assert (run.requests[0].asked, run.requests[0].intended_ns) == (None, None)


@pytest.mark.parametrize("open_loop", [True, False])
def test_a_run_that_is_stopped_waits_for_what_is_in_flight_and_sends_nothing_more(truth, open_loop):
    quick, slow, never = requests(1, QUICK), requests(1, SLOW), requests(40, QUICK)
    asked = []

    def stop():
        asked.append(time.monotonic_ns())
        return True

    due = [0, 0, *(600_000 * MS + place for place in range(40))] if open_loop else None
    run, _ = load(truth, [*quick, *slow, *never], due_ns=due, stop=stop, give_up_after=5)
    ids = [each.id for each in run.requests]
    # A closed loop may send one before the first answer is read.
    assert ids[:2] == [quick[0].id, slow[0].id]
    assert len(ids) == 2 if open_loop else len(ids) < 40
    assert [each.error for each in run.requests] == [None] * len(ids)
    assert len(asked) == len(ids)


def test_an_open_loop_gives_up_after_failures_in_a_row(truth):
    broken = requests(4, {"fault": "status-503", "first_token_ms": 1})
    due = [0, 0, 0, 0, *[600_000 * MS] * 3]
    run, _ = load(truth, [*broken, *requests(3, QUICK)], due_ns=due, give_up_after=4)
    assert [each.error.kind for each in run.requests] == ["status"] * 4


def test_streams_of_a_closed_loop_begin_evenly_over_the_ramp(truth):
    run, _ = load(truth, requests(4, SLOW), concurrency=4, ramp_up_s=0.8)
    begun = sorted(each.start_ns - run.started_ns for each in run.requests)
    # Timers of uvloop tick in milliseconds.
    assert all(begin >= place * 200 * MS - 2 * MS for place, begin in enumerate(begun))
    assert [each.error for each in run.requests] == [None] * 4


def test_each_request_needs_a_due_time(truth):
    job = LoadJob(LoadTarget(truth.endpoint), requests(2, QUICK), 1, due_ns=[0])
    with pytest.raises(ValueError, match="one due time for each request"):
        asyncio.run(run_open_loop(job, on_end=lambda timing: None))


def test_more_requests_than_files_may_be_in_flight(truth):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 1024:
        pytest.skip("the machine allows too few open files")
    few = len(list(Path("/proc/self/fd").iterdir())) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    try:
        run, true = load(truth, requests(60, SLOW), due_ns=[place * 5 * MS for place in range(60)])
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (few, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [each.error for each in run.requests] == [None] * 60
    assert len(true) == 60


def test_spare_connections_are_kept_fresh(truth):
    url = httpx.URL(truth.endpoint.root)

    async def keep():
        async with StampingTransport() as transport:
            await transport.keep_idle(url, 3)
            (first,) = [list(idle) for idle in transport._idle.values()]
            await transport.keep_idle(url, 2)
            (kept,) = [list(idle) for idle in transport._idle.values()]
            first[0].idle_since_ns = 0
            await transport.keep_idle(url, 3)
            (renewed,) = [list(idle) for idle in transport._idle.values()]
            return first, kept, renewed, len(transport._all)

    first, kept, renewed, opened = asyncio.run(keep())
    assert len(first) == 3
    assert kept == first
    assert renewed[:2] == first[1:]
    assert first[0] not in renewed
    assert (len(renewed), opened) == (3, 3)
