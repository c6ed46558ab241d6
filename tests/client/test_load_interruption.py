"""Ctrl-C in the middle of a level: what has ended is handed over, then KeyboardInterrupt goes on."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load

signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[2] == "plain":
    sys.modules["uvloop"] = None
    import importlib.util
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "uvloop" else found(name, *rest)
body = {"stream": True, "max_tokens": 3, "messages": []}
quick = {**body, "truth": {"first_token_ms": 1, "interval_ms": 1}}
never = {**body, "truth": {"fault": "stall", "first_token_ms": 1, "interval_ms": 1}}
requests = [LoadRequest(f"q{place}", "/v1/chat/completions", quick) for place in range(5)]
requests += [LoadRequest(f"n{place}", "/v1/chat/completions", never) for place in range(2)]
requests += [LoadRequest("after", "/v1/chat/completions", quick)]

def ended(timing):
    print(timing.id, timing.error, len(timing.token_ns), flush=True)

try:
    server = Endpoint(sys.argv[1])
    due = [0] * 7 + [600 * 10**9] if sys.argv[3] == "open" else None
    run_load(LoadJob(LoadTarget(server), requests, 2, due_ns=due), on_end=ended)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize(("loop", "kind"), [("uvloop", "closed"), ("plain", "closed"), ("uvloop", "open")])
def test_ctrl_c_hands_over_what_has_ended(truth, loop, kind):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, truth.endpoint.root, loop, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        lines = [process.stdout.readline().strip() for _ in range(5)]
        os.kill(process.pid, signal.SIGINT)
        rest, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert sorted(lines) == [f"q{place} None 3" for place in range(5)]
    assert rest.split() == ["interrupted"], complaints
    assert complaints == ""
    assert process.returncode == 0
