"""Whether the queue of an open level grew, on queues whose law is known.

Measured here, of 2000 sound queues of 300 requests (seeded): none is red with exponential gaps at a load of
0.5 and 0.8, with constant services at 0.8, constant gaps, or bursts (gamma, coefficient of variation 2) at
0.5; none of 10 requests, and 5 of 30 requests at 0.8. Nearer to its capacity a queue strays more: 1 is red at
0.9 and 10 at 0.95, and 15 of bursts at 0.8. Of 200 queues at 1.2 times their capacity 68 are red with 300
requests, 173 with 1000 and 191 with 1500: 3 times the square root of the arrivals is as much as such a queue
of 300 requests grows in all. At 1.5 times 300 requests do (192), at 2 times 150 (193).
"""

import dataclasses
from functools import partial

import numpy as np
import pytest
from made_load import failed, level, steady, trial
from made_open import arriving, ends_of, open_level

from pytest_gptoss.judge.metrics.stable import stable
from pytest_gptoss.judge.queue_growth import growth, growth_of
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData


def _queues(gaps, services, levels, n, seed):
    """Growth of so many levels of n requests; ``gaps`` and ``services`` draw with mean 1 and load."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(gaps(random, (levels, n)), axis=1)
    ends = ends_of(arrivals, services(random, (levels, n)))
    stamps = ((np.rint(each * 1e9).astype(np.int64)).tolist() for each in (arrivals, ends))
    return [growth_of(due, end) for due, end in zip(*stamps, strict=True)]


def poisson(random, size):
    return random.exponential(1.0, size)


def constant(random, size):
    return np.ones(size)


def bursts(random, size):
    return random.gamma(1 / 4, 4, size)  # coefficient of variation 2


def exponential(load, random, size):
    return random.exponential(load, size)


def fixed(load, random, size):
    return np.full(size, load)


def red(found):
    return sum(each.excess > each.allowed for each in found)


@pytest.mark.parametrize(
    ("gaps", "services", "n"),
    [
        (poisson, partial(exponential, 0.5), 300),
        (poisson, partial(exponential, 0.8), 300),
        (poisson, partial(exponential, 0.8), 60),
        (poisson, partial(fixed, 0.8), 300),
        (constant, partial(exponential, 0.8), 300),
        (constant, partial(fixed, 0.95), 300),
        (bursts, partial(exponential, 0.5), 300),
        (poisson, partial(exponential, 0.8), 10),
        (bursts, partial(exponential, 0.5), 10),
    ],
)
def test_a_queue_that_keeps_up_is_green(gaps, services, n):
    assert red(_queues(gaps, services, 2000, n, seed=1)) <= 10


@pytest.mark.parametrize(("load", "n"), [(1.2, 1500), (1.5, 300), (2.0, 150)])
def test_a_queue_that_does_not_is_red(load, n):
    assert red(_queues(poisson, partial(exponential, load), 200, n, seed=2)) >= 190


def _of(served_ms, n=120, gap=100):
    """An open level on a server that takes ``served_ms`` for each request, one after the other."""
    free, requests = 0.0, []
    for i in range(n):
        begin = max(free, i * gap)
        free = begin + served_ms
        requests.append(arriving(f"r{i}", i * gap, begin + served_ms / 2, free))
    return open_level(*requests)


def test_growth_within_what_is_allowed_is_a_share_of_it():
    found = stable(trial_0=trial(_of(50)))
    # The last request came at the window's very end, so it has not ended in it.
    assert (found.details["excess"], found.unit, found.interval) == (1, "times the allowed", None)
    assert found.value == pytest.approx(1 / (3 * np.sqrt(80)))
    assert "finding" not in found.details


def test_an_overloaded_level_says_by_how_much():
    found = stable(trial_0=trial(_of(200)))
    # From 3.967 s to 11.9 s 80 requests came, every 100 ms; every 200 ms one ended.
    assert (found.n, found.details["completions"], found.details["excess"]) == (80, 40, 40)
    assert found.value == pytest.approx(40 / (3 * np.sqrt(80)))
    assert found.details["finding"] == (
        "overloaded: the queue grew by 40 requests, 26.8 are allowed: from 4.0 s to 11.9 s of the level "
        "80 requests came and 40 ended; ask for a lower rate"
    )


def test_a_queue_that_shrank_is_no_growth():
    # All of the first third end in what follows, and the last ones take no time.
    made = [arriving(f"r{i}", i * 100, 4500 + i) for i in range(40)]
    rest = [arriving(f"r{i}", i * 100, i * 100) for i in range(40, 121)]
    assert stable(trial_0=trial(open_level(*made, *rest))).value == 0.0


def test_of_many_requests_a_twentieth_is_allowed():
    found = growth(_of(50, n=6000))
    assert found.allowed == pytest.approx(0.05 * found.arrivals)


def test_the_worst_trial_counts():
    found = stable(trial_0=trial(_of(50)), trial_1=trial(_of(200)))
    assert found.value > 1


def test_requests_that_failed_have_ended():
    overloaded = _of(200)
    broken = [
        dataclasses.replace(failed(each.id), intended_ns=each.intended_ns, end_ns=each.intended_ns + 1000)
        for each in overloaded.requests
    ]
    assert stable(trial_0=trial(open_level(*broken, max_tokens=2))).details["excess"] == 1


def test_a_closed_loop_has_no_queue():
    with pytest.raises(ConditionAbsent, match="a closed loop has no queue"):
        stable(trial_0=trial(level(*steady(10, ttft=80, tpot=10))))


def test_one_request_makes_no_queue():
    with pytest.raises(InsufficientData, match="--gptoss-duration"):
        stable(trial_0=trial(open_level(arriving("a", 0, 10, 20))))
