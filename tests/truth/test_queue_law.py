"""The recursions of a queue against the theory of queues, over many millions of requests."""

import math

import numpy as np
import pytest

from pytest_gptoss.truth.queue_law import kiefer_wolfowitz, lindley, waits

WITHIN = 0.01


def drawn(seed, load, requests, *, slots=1, exponential=True):
    """Arrivals at random times, and service times of mean 1."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / (load * slots), requests))
    return arrivals, random.exponential(1.0, requests) if exponential else np.ones(requests)


def erlang_c(slots, load):
    """The probability that a request waits (M/M/k)."""
    offered = slots * load
    full = offered**slots / math.factorial(slots) / (1 - load)
    return full / (sum(offered**each / math.factorial(each) for each in range(slots)) + full)


@pytest.mark.parametrize(("load", "runs"), [(0.5, 1), (0.8, 2), (0.95, 8)])
def test_one_slot_with_exponential_service_is_m_m_1(load, runs):
    found = [lindley(*drawn(seed, load, 10**7)).mean() for seed in range(runs)]
    assert np.mean(found) == pytest.approx(load / (1 - load), rel=WITHIN)


@pytest.mark.parametrize(("load", "runs"), [(0.5, 1), (0.8, 1), (0.95, 4)])
def test_one_slot_with_fixed_service_is_m_d_1(load, runs):
    found = [lindley(*drawn(seed, load, 10**7, exponential=False)).mean() for seed in range(runs)]
    assert np.mean(found) == pytest.approx(load / (2 * (1 - load)), rel=WITHIN)


@pytest.mark.parametrize(("slots", "load"), [(2, 0.5), (4, 0.8)])
def test_several_slots_with_exponential_service_are_m_m_k(slots, load):
    arrivals, services = drawn(1, load, 4 * 10**6, slots=slots)
    found = kiefer_wolfowitz(arrivals.tolist(), services.tolist(), slots)
    assert math.fsum(found) / len(found) == pytest.approx(
        erlang_c(slots, load) / (slots * (1 - load)), rel=WITHIN
    )


def test_both_recursions_agree_where_there_is_one_slot():
    arrivals, services = (each.tolist() for each in drawn(2, 0.9, 10**5))
    assert np.allclose(waits(arrivals, services, 1), kiefer_wolfowitz(arrivals, services, 1))


def test_waits_by_hand():
    assert waits([0, 1, 2, 20], [5, 1, 3, 1], 1) == [0, 4, 4, 0]
    assert waits([0, 1, 2, 20], [5, 1, 3, 1], 2) == [0, 0, 0, 0]
    assert waits([0, 1, 2, 3], [5, 9, 3, 1], 2) == [0, 0, 3, 5]
