"""The search for the capacity: on a simulated M/M/1 queue, whose capacity is known, and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.capacity import Bracket, CapacityProbe, CapacityTask, confirmed, nearest
from pytest_gptoss.model.results import Failure, RequestTiming
from pytest_gptoss.scenarios.batch_means import share_interval
from pytest_gptoss.scenarios.capacity_search import MOST_PROBES, next_rate
from pytest_gptoss.scenarios.probe_record import LOOKS, TRANSIENT, ProbeRecord, keeps
from pytest_gptoss.truth.queue_law import lindley

SHARE = 0.95
MU = 200.0
TASK = CapacityTask(Slo(ttft_ms=100.0), prompt_tokens=8, max_tokens=1)


def probe(rate, goodput, *, decided=True, requests=1000, task=TASK):
    kept = round(goodput * requests)
    low, high = (goodput, goodput) if decided else (0.0, 1.0)
    return CapacityProbe(task, rate, 1.0, requests, kept, low, high, 0, 0.0)


def timing(place, due_ns, wait_ms, **fields):
    first = due_ns + round(wait_ms * 1e6)
    values = {"intended_ns": due_ns, "completion_tokens": 1, **fields}
    return RequestTiming(f"{place}", due_ns, due_ns, (first,), (1,), None, first, **values)


# -- against the theory -------------------------------------------------------------------------


def queue_of_rate(mu, seed):
    """A probe of a server that is an M/M/1 queue; all of the time in it is TTFT."""
    random = np.random.default_rng(seed)

    def probed(rate, task):
        due = np.sort(random.uniform(0, task.probe_s, random.poisson(rate * task.probe_s)))
        services = random.exponential(1 / mu, len(due))
        spent = lindley(due, services) + services
        counted = due >= TRANSIENT * task.probe_s
        for look in (*LOOKS, math.inf):
            known = counted & (due + spent <= look * task.probe_s)
            kept = (spent[known] * 1e3 <= task.slo.ttft_ms).tolist()
            low, high = share_interval(kept)
            found = CapacityProbe(task, rate, 1.0, len(kept), sum(kept), low, high, 0, 0.0)
            if found.decided:
                break
        return found

    return probed


def search(probed, task):
    probes = []
    while (rate := next_rate(probes, task)) is not None:
        probes.append(probed(rate, task))
    return probes


@pytest.mark.parametrize(("busy", "seeds"), [(0.72, range(7)), (0.8, range(7, 14)), (0.89, range(14, 20))])
def test_the_capacity_of_an_m_m_1_queue_is_found(busy, seeds):
    slo_ms = math.log(1 / (1 - SHARE)) / ((1 - busy) * MU) * 1e3
    task = CapacityTask(Slo(slo_ms, None, SHARE), 8, 1, probe_s=300.0)
    inside = []
    for seed in seeds:
        probes = search(queue_of_rate(MU, seed), task)
        found, sure = nearest(probes), confirmed(probes)
        assert (found.low + found.high) / 2 == pytest.approx(busy * MU, rel=0.05)
        inside.append(sure.low <= busy * MU <= sure.high)
    assert sum(inside) >= len(inside) - 1


def test_the_interval_of_dependent_requests_covers_as_often_as_it_says():
    """M/M/1 at a load of 0.8, where neighbours wait alike: 95% of intervals, here of 200."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        due = np.cumsum(random.exponential(1 / 0.8, 22_000))
        services = random.exponential(1.0, len(due))
        kept = (lindley(due, services) + services)[2000:] <= 8.0
        low, high = share_interval(kept.tolist())
        covered += low <= 1 - math.exp(-0.2 * 8.0) <= high
    assert covered >= 180


@given(st.lists(st.booleans(), min_size=1, max_size=120))
def test_the_interval_holds_the_share_of_all_requests(kept):
    low, high = share_interval(kept)
    assert 0 <= low <= sum(kept) / len(kept) <= high <= 1


# -- where it probes next -----------------------------------------------------------------------


def test_it_doubles_until_the_level_is_broken_and_halves_then():
    assert next_rate([], TASK) == 1.0
    assert next_rate([probe(1, 1.0)], TASK) == 2.0
    assert next_rate([probe(1, 1.0), probe(2, 0.2)], TASK) == 1.5
    assert next_rate([probe(1, 0.2)], TASK) == 0.5


def test_both_ends_are_probed_again():
    known = [probe(1, 1.0), probe(2, 0.2), probe(1.5, 1.0), probe(1.55, 0.3)]
    assert next_rate(known, TASK) == 1.5
    assert next_rate([*known, probe(1.5, 1.0)], TASK) == 1.55
    assert next_rate([*known, probe(1.5, 1.0), probe(1.55, 0.1)], TASK) is None


def test_an_undecided_probe_steers_and_is_no_end():
    known = [probe(1, 1.0), probe(2, 0.2), probe(1.5, 0.96, decided=False), probe(1.55, 0.3)]
    assert nearest(known) == Bracket(1.5, 1.55)
    assert confirmed(known) == Bracket(1, 1.55)
    assert next_rate(known, TASK) == 1


def test_a_contradiction_widens_the_bracket():
    known = [probe(1, 1.0), probe(2, 0.2), probe(1.5, 1.0), probe(1.55, 0.3), probe(1.5, 0.5)]
    assert confirmed(known) == Bracket(1, 1.55)
    # A rate that keeps the level above one that does not makes all between them doubtful.
    assert confirmed([*known, probe(1.8, 1.0)]) == Bracket(1, 2)


def test_probes_at_one_rate_count_together():
    assert nearest([probe(1, 1.0), probe(2, 0.96), probe(2, 0.9, requests=500)]) == Bracket(1, 2)


def test_the_bounds_are_tried_twice_and_nothing_beyond():
    bounded = CapacityTask(TASK.slo, 8, 1, first_rate=4.0, least_rate=3.0, most_rate=6.0)
    assert next_rate([], bounded) == 4.0
    passing = [probe(4, 1.0, task=bounded), probe(6, 1.0, task=bounded)]
    assert next_rate(passing[:1], bounded) == 6.0
    assert next_rate(passing, bounded) == 6.0
    assert next_rate([*passing, passing[-1]], bounded) is None
    failing = [probe(4, 0.0, task=bounded), probe(3, 0.0, task=bounded)]
    assert next_rate(failing[:1], bounded) == 3.0
    assert next_rate([*failing, failing[-1]], bounded) is None
    assert nearest(failing).low is None
    assert nearest(passing).high is None


def test_no_search_goes_on_for_ever():
    assert next_rate([probe(1, 1.0, decided=False)] * MOST_PROBES, TASK) is None


# -- one probe ----------------------------------------------------------------------------------


def test_what_keeps_the_level():
    task = CapacityTask(Slo(ttft_ms=100.0, tpot_ms=10.0), prompt_tokens=8, max_tokens=3)

    def three(**fields):
        stamps = {"token_ns": (50_000_000, 60_000_000, 70_000_000), "tokens": (1, 1, 1)}
        whole = {"sent_ns": 0, "first_text_ns": None, "end_ns": 1, "completion_tokens": 3, "intended_ns": 0}
        return keeps(RequestTiming("r", 0, **{**whole, **stamps, **fields}), task)

    assert three()
    assert not three(completion_tokens=2)
    assert not three(token_ns=(50_000_000, 60_000_000, 80_000_000))
    assert not three(intended_ns=-51_000_000)
    assert not three(token_ns=(), tokens=())


def test_the_first_part_of_a_probe_does_not_count():
    task = CapacityTask(TASK.slo, 8, 1, probe_s=10.0)
    due = [place * 10**9 for place in range(10)]
    record = ProbeRecord(task, 1.0, due)
    for place, at in enumerate(due):
        record.add(place, timing(place, at, 500 if place < 2 else 5))
    assert (record.result().requests, record.result().kept) == (8, 8)
    assert not record.decided


def test_a_probe_ends_when_its_interval_excludes_the_share():
    task = CapacityTask(TASK.slo, 8, 1, probe_s=10.0)
    due = [place * 10**7 for place in range(1000)]
    record = ProbeRecord(task, 100.0, due)
    for place, at in enumerate(due):
        record.add(place, timing(place, at, 500))
        if record.decided:
            break
    assert 350 <= place <= 401
    found = record.result()
    assert (found.goodput, found.decided, found.keeps) == (0.0, True, False)
    assert found.seconds == pytest.approx(4.0, abs=0.1)
    assert (found.ttft_p50_ms, found.ttft_p95_ms, found.send_delay_ms) == (500, 500, 0)


def test_what_has_ended_beyond_an_open_request_does_not_count_yet():
    task = CapacityTask(TASK.slo, 8, 1, probe_s=10.0)
    due = [place * 10**7 for place in range(1000)]
    record = ProbeRecord(task, 100.0, due)
    for place, at in enumerate(due):
        if place != 210:
            record.add(place, timing(place, at, 5))
    assert not record.decided
    assert record.result().requests == 799


def test_tokens_that_were_held_back_are_counted_over_the_requests_that_count():
    task = CapacityTask(TASK.slo, 8, 3, probe_s=10.0)
    due = [place * 10**9 for place in range(10)]
    record = ProbeRecord(task, 1.0, due)
    for place, at in enumerate(due):
        one = timing(place, at, 5)
        record.add(place, replace(one, token_ns=one.token_ns * 3, tokens=(1, 1, 1)) if place < 4 else one)
    found = record.result()
    assert (found.requests, found.buffered) == (8, 2)


def test_a_failed_request_keeps_nothing_and_is_told():
    failure = Failure("r", "stream", "it broke")
    task = CapacityTask(TASK.slo, 8, 1, probe_s=1.0)
    record = ProbeRecord(task, 1.0, [900_000_000])
    record.add(0, RequestTiming("r", 1, None, (), (), None, 2, error=failure, intended_ns=1))
    found = record.result()
    assert (found.requests, found.kept, found.failed, found.failure) == (1, 0, 1, "it broke")
    assert found.ttft_p50_ms is None
