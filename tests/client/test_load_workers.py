"""Load from several processes: one run comes of it, none outlives a trouble, and no answer is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget
from pytest_gptoss.client.load.controller import WorkerError
from pytest_gptoss.client.load.workers import run_in_processes
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.model.errors import ConnectError, UsageError

CHAT = "/v1/chat/completions"
KEY = "sk-never-shown-7842"
CLOSE_MS = 500
"""So near to the truth a stamp comes at least once, however busy the machine is."""
QUICK = {"max_tokens": 3, "truth": {"first_token_ms": 1, "interval_ms": 1}}
SLOW = {"max_tokens": 400, "truth": {"first_token_ms": 1, "interval_ms": 100}}


def asked(kinds):
    run = uuid.uuid4().hex
    return [
        LoadRequest(f"{run}-{place}", CHAT, {"stream": True, "messages": [], **kind})
        for place, kind in enumerate(kinds)
    ]


def workers_of(parent):
    """Ids of the load workers that a process has started and that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            command = status.with_name("cmdline").read_bytes()
            if f"PPid:\t{parent}\n" in status.read_text("utf-8") and b"client.load.worker" in command:
                found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_one_run_of_the_same_requests(truth, workers):
    requests = asked([{"max_tokens": 6, "truth": {"first_token_ms": 40, "interval_ms": 5}}] * 12)
    ended = []
    run = run_in_processes(
        LoadJob(LoadTarget(truth.endpoint), requests, 4), workers=workers, on_end=ended.append
    )
    assert [each.id for each in run.requests] == [each.id for each in requests]
    assert sorted(each.id for each in ended) == sorted(each.id for each in requests)
    assert not any(each.error for each in run.requests)
    assert len(run.health.cpu_shares) == (0 if workers == 1 else workers)
    true = truth.stamps()
    in_flight = []
    for timing in run.requests:
        seen = true[timing.id]
        assert run.started_ns <= timing.start_ns <= timing.sent_ns <= seen.read_ns
        delays = [(at - written) / 1e6 for at, written in zip(timing.token_ns, seen.token_ns, strict=True)]
        assert min(delays) >= 0, delays
        assert min(delays) < CLOSE_MS, delays
        assert timing.end_ns <= run.ended_ns
        others = [each for each in run.requests if each.start_ns <= timing.start_ns < each.end_ns]
        in_flight.append(len(others))
    assert max(in_flight) == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_an_open_loop_is_sent_on_the_same_schedule_by_any_number_of_workers(truth, workers):
    requests = asked([QUICK] * 15)
    due = [place * 20_000_000 for place in range(15)]
    job = LoadJob(LoadTarget(truth.endpoint), requests, 3, due_ns=due)
    run = run_in_processes(job, workers=workers, on_end=lambda _: None)
    assert not any(each.error for each in run.requests)
    assert [each.intended_ns - run.started_ns for each in run.requests] == due
    assert all(each.start_ns >= each.intended_ns for each in run.requests)
    true = truth.stamps()
    assert all(each.sent_ns <= true[each.id].read_ns for each in run.requests)


def test_no_worker_sends_on_once_the_job_says_stop(truth):
    ended = []
    requests = asked([{**QUICK, "truth": {"first_token_ms": 100, "interval_ms": 1}}] * 400)
    job = LoadJob(LoadTarget(truth.endpoint), requests, 2, stop=lambda: len(ended) >= 4)
    run = run_in_processes(job, workers=2, on_end=ended.append)
    assert 4 <= len(run.requests) == len(ended) < 400
    assert not any(each.error for each in run.requests)


def test_workers_see_no_key_but_their_requests_carry_it(truth):
    seen = []

    def look(_):
        for pid in workers_of(os.getpid()):
            seen.append(Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes())

    endpoint = Endpoint(truth.endpoint.root, api_key=Secret(KEY))
    requests = asked(
        [QUICK] * 2 + [{"max_tokens": 6, "truth": {"first_token_ms": 800, "interval_ms": 5}}] * 2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPTOSS_NPU_API_KEY", KEY)
        run = run_in_processes(LoadJob(LoadTarget(endpoint), requests, 2), workers=2, on_end=look)
    assert not any(each.error for each in run.requests)
    assert seen
    assert not any(KEY.encode() in each for each in seen)


def test_a_worker_that_is_killed_is_named_and_the_others_answers_are_kept(truth):
    requests = asked([QUICK] * 8 + [SLOW] * 8)
    ended, killed = [], []

    def kill_one(timing):
        ended.append(timing.id)
        if len(ended) == 8:
            killed.append(workers_of(os.getpid())[0])
            os.kill(killed[0], signal.SIGKILL)

    job = LoadJob(LoadTarget(truth.endpoint), requests, 4)
    with pytest.raises(WorkerError) as raised:
        run_in_processes(job, workers=4, on_end=kill_one)
    said = str(raised.value)
    assert f"of 4 (process {killed[0]}) ended before its requests were answered (ended by SIGKILL)" in said
    assert "--gptoss-load-workers" in said
    assert sorted(ended) == sorted(each.id for each in requests[:8])
    assert workers_of(os.getpid()) == []


def test_a_worker_that_stops_with_an_error_says_its_last_line(truth, monkeypatch):
    monkeypatch.setattr(
        "pytest_gptoss.client.load.workers._COMMAND",
        (sys.executable, "-c", "raise SystemExit('no such room')"),
    )
    with pytest.raises(WorkerError, match=r"load worker . of 2 .*\(exit status 1: no such room\)"):
        run_in_processes(LoadJob(LoadTarget(truth.endpoint), asked([QUICK] * 2), 2), workers=2, on_end=print)
    assert workers_of(os.getpid()) == []


def test_what_a_worker_cannot_begin_for_is_raised_here(tmp_path):
    nowhere = LoadTarget(Endpoint("http://127.0.0.1:9"), Timeouts(connect=5))
    with pytest.raises(ConnectError, match=r"connect to http://127\.0\.0\.1:9"):
        run_in_processes(LoadJob(nowhere, asked([QUICK] * 2), 2), workers=2, on_end=print)
    unreadable = LoadTarget(Endpoint("https://127.0.0.1:9"), ca_bundle=tmp_path / "none.pem")
    with pytest.raises(UsageError, match=r"none\.pem"):
        run_in_processes(LoadJob(unreadable, asked([QUICK] * 2), 2), workers=2, on_end=print)
    assert workers_of(os.getpid()) == []


def test_a_mistake_in_the_callers_code_leaves_no_process(truth):
    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_processes(
            LoadJob(LoadTarget(truth.endpoint), asked([QUICK, QUICK, SLOW, SLOW]), 2),
            workers=2,
            on_end=broken,
        )
    assert workers_of(os.getpid()) == []


SCRIPT = """
import signal, sys
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget
from pytest_gptoss.client.load.workers import run_in_processes

signal.signal(signal.SIGINT, signal.default_int_handler)
body = {"stream": True, "messages": []}
quick = {**body, "max_tokens": 3, "truth": {"first_token_ms": 1, "interval_ms": 1}}
slow = {**body, "max_tokens": 400, "truth": {"first_token_ms": 1, "interval_ms": 100}}
kinds = [quick] * 6 + [slow] * 4
requests = [LoadRequest(f"q{place}", "/v1/chat/completions", kind) for place, kind in enumerate(kinds)]
job = LoadJob(LoadTarget(Endpoint(sys.argv[1])), requests, 2)
try:
    run_in_processes(job, workers=2, on_end=lambda timing: print(timing.id, timing.error, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def running(truth):
    """A process in the middle of a level with two workers; the lines of what has ended, and the workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, truth.endpoint.root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = sorted(process.stdout.readline().strip() for _ in range(6))
        yield process, lines, workers_of(process.pid)
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_leaves_no_worker_and_loses_nothing(running):
    process, lines, workers = running
    os.kill(process.pid, signal.SIGINT)
    rest, complaints = process.communicate(timeout=60)
    assert lines == [f"q{place} None" for place in range(6)]
    assert rest.split() == ["interrupted"], complaints
    assert complaints == ""
    assert len(workers) == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_workers_end_with_a_process_that_was_killed(running):
    process, _, workers = running
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while (left := [pid for pid in workers if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers) == 2
    assert not left


def alive(pid):
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
