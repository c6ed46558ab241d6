"""A job split among workers is the same job, whatever their number, and its runs merge to one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadRun, LoadTarget
from pytest_gptoss.client.load.shares import merged, shares, useful, worst
from pytest_gptoss.model.results import LoopHealth, RequestTiming

HEALTH = LoopHealth(0.1, 0.2, 0.3, 0.4)
COUNTS = st.integers(1, 40)


def job_of(requests, concurrency, *, opened=False, give_up_after=None, ramp_up_s=0.0):
    return LoadJob(
        LoadTarget(Endpoint("http://n")),
        [LoadRequest(f"r{place}", "/v1/completions", {"max_tokens": place}) for place in range(requests)],
        concurrency,
        give_up_after,
        [place * 10**6 for place in range(requests)] if opened else None,
        ramp_up_s,
    )


def timing(name, start_ns=0):
    return RequestTiming(name, start_ns, start_ns, (start_ns + 5,), (1,), None, start_ns + 9)


@given(requests=COUNTS, concurrency=COUNTS, workers=COUNTS, opened=st.booleans())
def test_request_i_and_its_due_time_go_to_worker_i_mod_n(requests, concurrency, workers, opened):
    job = job_of(requests, concurrency, opened=opened)
    parts = shares(job, workers)
    for place, request in enumerate(job.requests):
        part, at = parts[place % len(parts)], place // len(parts)
        assert part.requests[at] == request
        if opened:
            assert part.due_ns[at] == job.due_ns[place]
    assert sum(len(part.requests) for part in parts) == requests
    assert all(part.requests and part.target == job.target for part in parts)
    assert {part.due_ns is None for part in parts} == {not opened}


@given(requests=COUNTS, concurrency=COUNTS, workers=COUNTS)
def test_the_streams_of_a_closed_loop_sum_up(requests, concurrency, workers):
    concurrency = min(concurrency, requests)
    parts = shares(job_of(requests, concurrency), workers)
    assert len(parts) == useful(job_of(requests, concurrency), workers) == min(workers, concurrency)
    assert sum(part.concurrency for part in parts) == concurrency
    assert max(part.concurrency for part in parts) - min(part.concurrency for part in parts) <= 1


@given(requests=COUNTS, concurrency=COUNTS, workers=COUNTS)
def test_no_more_workers_than_requests_of_an_open_loop(requests, concurrency, workers):
    job = job_of(requests, concurrency, opened=True)
    parts = shares(job, workers)
    assert len(parts) == min(workers, requests)
    assert all(part.concurrency >= 1 for part in parts)


@given(concurrency=COUNTS, workers=COUNTS, rounds=st.integers(1, 5))
def test_all_workers_together_give_up_after_as_many_failures(concurrency, workers, rounds):
    parts = shares(job_of(80, concurrency, give_up_after=rounds * concurrency), workers)
    assert [part.give_up_after for part in parts] == [rounds * part.concurrency for part in parts]
    assert {part.give_up_after for part in shares(job_of(80, concurrency), workers)} == {None}


@given(requests=COUNTS, workers=COUNTS, seed=st.integers(0, 99), lost=st.integers(0, 5))
def test_merging_restores_the_order_of_the_schedule(requests, workers, seed, lost):
    job = job_of(requests, requests)
    rng = random.Random(seed)
    unsent = {f"r{place}" for place in rng.sample(range(requests), min(lost, requests))}
    runs = []
    for number, part in enumerate(shares(job, workers)):
        ended = [timing(each.id, number) for each in part.requests if each.id not in unsent]
        rng.shuffle(ended)
        runs.append(LoadRun(tuple(ended), HEALTH, 100 + number, 900 - number))
    run = merged(job, runs)
    assert [each.id for each in run.requests] == [each.id for each in job.requests if each.id not in unsent]
    assert (run.started_ns, run.ended_ns) == (100, 900)


def test_the_health_of_several_is_that_of_the_worst():
    late, busy = LoopHealth(1.0, 2.0, 9.0, 0.1), LoopHealth(0.5, 3.0, 4.0, 0.9)
    assert worst([late, busy]) == LoopHealth(1.0, 3.0, 9.0, 0.9, (0.1, 0.9))
    assert worst([late]) == late


@pytest.mark.parametrize("workers", [1, 7])
def test_one_request_needs_one_worker(workers):
    job = job_of(1, 1)
    (part,) = shares(job, workers)
    assert list(part.requests) == list(job.requests)


@given(requests=st.integers(4, 40), connections=COUNTS, workers=COUNTS)
def test_a_worker_of_an_open_loop_gives_up_after_as_many_failures_as_one(requests, connections, workers):
    parts = shares(job_of(requests, connections, opened=True, give_up_after=3), workers)
    assert {part.give_up_after for part in parts} == {3}
