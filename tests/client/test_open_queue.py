"""Waits in a queue, as the open loop measures them, against the recursion on what the server stamped."""

import itertools
import operator
import random
import uuid

import pytest

from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load
from pytest_gptoss.scenarios.truth import truth_server
from pytest_gptoss.truth.queue_law import waits

WITHIN = 0.02
TRIES = 3
"""A machine that is busy with other things adds to every wait, and to some waits of one try only."""
MS = 1e6
STALL_S = 2.0


def requests(count):
    name = uuid.uuid4().hex
    body = {"stream": True, "max_tokens": 1}
    return [LoadRequest(f"{name}-{place}", "/v1/completions", body) for place in range(count)]


def arrivals(rate, count):
    source = random.Random(count)
    gaps = [source.expovariate(rate) for _ in range(count)]
    return [round(at * 1e9) for at in itertools.accumulate(gaps)]


def load(server, count, **fields):
    """The timings of a run, and what the server did with each request, in the order of their arrival."""
    job = LoadJob(LoadTarget(server.endpoint), requests(count), fields.pop("concurrency", 8), **fields)
    run = run_load(job, on_end=lambda _: None)
    assert {each.error for each in run.requests} == {None}
    timings = {each.id: each for each in run.requests}
    true = server.all_stamps()
    return [timings[each.id] for each in true], true


def expected(true, slots):
    """The waits by the recursion, in ns."""
    return waits([each.read_ns for each in true], [each.service_ns for each in true], slots)


def measured(timing, true):
    """The wait as the client saw it, in ns: TTFT from the intended send, less the service's own part."""
    return timing.token_ns[0] - timing.intended_ns - (true.token_ns[0] - true.start_ns)


@pytest.mark.parametrize(
    ("law", "slots", "load_share", "service_ms", "count"),
    [
        ("exponential", 1, 0.5, 30, 120),
        ("exponential", 1, 0.8, 15, 200),
        ("exponential", 1, 0.95, 10, 300),
        ("fixed", 1, 0.5, 60, 80),
        ("fixed", 1, 0.8, 20, 200),
        ("fixed", 1, 0.95, 10, 300),
        ("exponential", 4, 0.8, 80, 200),
        ("fixed", 4, 0.95, 40, 300),
    ],
)
def test_waits_are_those_of_the_recursion(law, slots, load_share, service_ms, count):
    arguments = [f"--service-ms={service_ms}", f"--service={law}", f"--slots={slots}", "--service-seed=7"]
    due = arrivals(load_share * slots * 1e3 / service_ms, count)
    excess = []
    with truth_server(*arguments) as server:
        for _ in range(TRIES):
            timings, true = load(server, count, due_ns=due)
            says = expected(true, slots)
            assert [seen.start_ns - seen.read_ns for seen in true] == says
            # What was sent late, by the server's stamp, is no wait in the queue.
            late = [seen.read_ns - each.intended_ns for each, seen in zip(timings, true, strict=True)]
            waited = [measured(*each) for each in zip(timings, true, strict=True)]
            assert all(each >= 0 for each in map(operator.sub, waited, map(operator.add, says, late)))
            excess.append((sum(waited) - sum(late)) / sum(says) - 1)
            if excess[-1] < WITHIN:
                break
            server.forget()
    assert min(excess) < WITHIN


def test_a_server_that_stops_shows_in_the_open_loop_by_what_the_recursion_says():
    with truth_server("--service-ms=20", "--stall-at-s=1", f"--stall-s={STALL_S}") as server:
        count, rate = 150, 30
        due = [round(place * 1e9 / rate) for place in range(count)]
        timings, true = load(server, count, due_ns=due)
    found = [(each.token_ns[0] - each.intended_ns) / MS for each in timings]
    says = zip(timings, true, expected(true, 1), strict=True)
    law_says = [
        (seen.read_ns - each.intended_ns + wait + seen.token_ns[0] - seen.start_ns) / MS
        for each, seen, wait in says
    ]
    slow = [each for each in law_says if each > 500]
    assert len(slow) > rate * STALL_S * 0.75
    assert max(law_says) > STALL_S * 900
    assert sum(found) == pytest.approx(sum(law_says), rel=WITHIN)
    assert sorted(found)[-count // 20] == pytest.approx(sorted(law_says)[-count // 20], rel=WITHIN)


def test_a_server_that_stops_shows_in_the_closed_loop_in_the_requests_in_flight_alone():
    with truth_server("--service-ms=20", "--stall-at-s=1", f"--stall-s={STALL_S}") as server:
        timings, _ = load(server, 150, concurrency=2)
    slow = [each for each in timings if each.token_ns[0] - each.start_ns > 500 * MS]
    assert 1 <= len(slow) <= 2
