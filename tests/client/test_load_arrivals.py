"""What is held back between server and client is told from what only looks so, by the client's own stamps."""

import uuid

import pytest

from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load
from pytest_gptoss.judge.accounting import is_accounted
from pytest_gptoss.judge.load import per_token
from pytest_gptoss.model.token_arrivals import is_buffered

TOKENS = 40
INTERVAL_MS = 20
TRIES = 3
"""A machine that is busy with other things can join the reads of one run."""

HELD = {
    "handed over at the end": {"buffer": 10**6},
    "in blocks": {"buffer": 2048},
    "in blocks, packed": {"buffer": 512, "encoding": "gzip"},
    "several tokens an event, at the end": {"buffer": 10**6, "per_event": 5},
}
FLOWING = {
    "one by one": {},
    "a stream interval of eight": {"per_event": 8},
    "speculative bursts of three": {"burst": 3, "interval_ms": 30},
    "pings": {"comments": True},
    "split": {"split": 50, "split_ms": 0},
    "packed": {"encoding": "gzip"},
    "a long wait, then a short answer": {"first_token_ms": 900, "interval_ms": 6, "tokens": 8},
    "running usage": {"ids": False, "running_usage": True},
}
DROPPED = {
    "reasoning dropped, no ids": {"text": "harmony", "content_only": True, "ids": False},
    "nothing dropped, no ids": {"text": "harmony", "ids": False},
}


def asked(script):
    body = {
        "stream": True,
        "max_tokens": TOKENS,
        "messages": [],
        "truth": {"first_token_ms": 100, "interval_ms": INTERVAL_MS, **script},
    }
    return LoadRequest(uuid.uuid4().hex, "/v1/chat/completions", body)


def timed(truth, kinds):
    requests = {name: asked(script) for name, script in kinds.items()}
    job = LoadJob(LoadTarget(truth.endpoint), list(requests.values()), len(requests))
    run = run_load(job, on_end=lambda _: None)
    timings = dict(zip(kinds, run.requests, strict=True))
    assert {name: timing.error for name, timing in timings.items()} == dict.fromkeys(kinds)
    return timings


@pytest.fixture(scope="module")
def measured(truth):
    """A timing of each kind; those that flow are asked for again while a busy machine joins their events."""
    found = timed(truth, {**HELD, **FLOWING, **DROPPED})
    for _ in range(TRIES):
        joined = {name: FLOWING[name] for name in FLOWING if is_buffered(found[name])}
        if not joined:
            break
        found |= timed(truth, joined)
    return found


@pytest.mark.parametrize("name", HELD)
def test_a_stream_that_was_held_back_is_seen(measured, name):
    assert is_buffered(measured[name])
    assert is_accounted(measured[name])


@pytest.mark.parametrize("name", FLOWING)
def test_a_stream_that_flows_is_no_buffered_one(measured, name):
    assert not is_buffered(measured[name])
    assert is_accounted(measured[name])


@pytest.mark.parametrize("name", DROPPED)
def test_without_ids_or_running_usage_nothing_is_accounted_for(measured, name):
    assert not is_accounted(measured[name])
    assert per_token(measured[name]) is None


def test_a_running_usage_gives_the_time_per_token_though_events_were_dropped(truth):
    script = {"text": "harmony", "content_only": True, "ids": False, "running_usage": True}
    (timing,) = timed(truth, {"dropped": script}).values()
    assert (timing.tokens[0], timing.counted_by) == (TOKENS // 2 + 1, "usage")
    assert per_token(timing) == pytest.approx(INTERVAL_MS, rel=0.2)
