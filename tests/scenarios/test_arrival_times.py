"""Arrivals follow their law: gaps, ends, ramps, and the same schedule for the same seed."""

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.model.arrivals import Arrivals
from pytest_gptoss.scenarios.arrival_times import arrival_times, ramped_s

S = 10**9
LAWS = (("poisson", 1.0), ("constant", 1.0), ("gamma", 0.5), ("gamma", 3.0))
SAMPLES = 4000
CRITICAL_0_001 = 1.949
"""Kolmogorov's statistic times the root of the count: it is larger by chance in one of a thousand samples."""


def gaps_s(due):
    return [(later - earlier) / S for earlier, later in pairwise((0, *due))]


def kolmogorov_smirnov(values, cdf):
    """The largest distance between the values' distribution and another, times the root of their count."""
    n = len(values)
    steps = ((place / n, (place + 1) / n, cdf(value)) for place, value in enumerate(sorted(values)))
    return math.sqrt(n) * max(max(above - share, share - below) for below, above, share in steps)


def gamma_cdf(shape):
    """The distribution function of a gamma law of mean 1: the regularised lower incomplete gamma series."""

    def cdf(value):
        x = value * shape
        term = total = 1 / shape
        place = shape
        while term > total * 1e-15:
            place += 1
            term *= x / place
            total += term
        return total * math.exp(shape * math.log(x) - x - math.lgamma(shape)) if x else 0.0

    return cdf


def exponential_cdf(value):
    return -math.expm1(-value)


def test_the_yardsticks_are_right():
    assert gamma_cdf(1.0)(0.7) == pytest.approx(exponential_cdf(0.7))
    # Erlang of two stages and mean 1: 1 - (1 + 2 x) exp(-2 x).
    assert gamma_cdf(2.0)(1.3) == pytest.approx(1 - 3.6 * math.exp(-2.6))
    even = [(place + 0.5) / 100 for place in range(100)]
    assert kolmogorov_smirnov(even, lambda value: value) == pytest.approx(math.sqrt(100) * 0.005)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("arrivals", "cdf", "other"),
    [
        (Arrivals(8.0), exponential_cdf, gamma_cdf(4.0)),
        (Arrivals(8.0, "gamma", 0.5), gamma_cdf(4.0), exponential_cdf),
        (Arrivals(8.0, "gamma", 2.0), gamma_cdf(0.25), exponential_cdf),
    ],
    ids=["poisson", "gamma:0.5", "gamma:2"],
)
def test_gaps_follow_their_law_and_no_other(arrivals, cdf, other, seed):
    seeded = Arrivals(arrivals.rate, arrivals.law, arrivals.cv, seed)
    gaps = [gap * 8.0 for gap in gaps_s(arrival_times(seeded, count=SAMPLES))]
    assert kolmogorov_smirnov(gaps, cdf) < CRITICAL_0_001
    assert kolmogorov_smirnov(gaps, other) > CRITICAL_0_001


def test_constant_gaps_are_equal():
    assert set(gaps_s(arrival_times(Arrivals(8.0, "constant"), count=500))) == {0.125}


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.0])
def test_a_gamma_law_varies_as_much_as_it_says(cv):
    gaps = gaps_s(arrival_times(Arrivals(2.0, "gamma", cv), count=60_000))
    assert statistics.fmean(gaps) == pytest.approx(0.5, rel=0.03)
    assert statistics.stdev(gaps) / statistics.fmean(gaps) == pytest.approx(cv, rel=0.05)


@given(
    st.floats(0.1, 1000),
    st.sampled_from(LAWS),
    st.integers(0, 10**9),
    st.integers(0, 200),
    st.floats(0, 100),
)
def test_a_schedule_rises_and_is_the_same_for_one_seed(rate, law, seed, count, ramp_up_s):
    arrivals = Arrivals(rate, *law, seed)
    due = arrival_times(arrivals, count=count, ramp_up_s=ramp_up_s)
    assert len(due) == count
    assert due == sorted(due)
    assert all(each >= 0 for each in due)
    assert due == arrival_times(arrivals, count=count, ramp_up_s=ramp_up_s)
    assert due[: count // 2] == arrival_times(arrivals, count=count // 2, ramp_up_s=ramp_up_s)


@given(st.floats(0.5, 50), st.sampled_from(LAWS), st.floats(0.1, 20), st.floats(0, 10))
def test_a_duration_has_all_that_come_in_it_and_no_more(rate, law, duration_s, ramp_up_s):
    arrivals = Arrivals(rate, *law)
    within = arrival_times(arrivals, duration_s=duration_s, ramp_up_s=ramp_up_s)
    further = arrival_times(arrivals, count=len(within) + 1, ramp_up_s=ramp_up_s)
    assert further[:-1] == within
    assert further[-1] > duration_s * S
    assert all(each <= duration_s * S for each in within)
    assert arrival_times(arrivals, count=3, duration_s=duration_s, ramp_up_s=ramp_up_s) == within[:3]


def test_levels_of_one_seed_have_the_same_gaps_scaled():
    slow, fast = (arrival_times(Arrivals(rate), count=50) for rate in (2.0, 8.0))
    assert [each / 4 for each in slow] == pytest.approx(fast, abs=1)


def test_each_trial_has_gaps_of_its_own():
    arrivals = Arrivals(8.0)
    first, again, second = (arrival_times(arrivals, count=9, trial=trial) for trial in (0, 0, 1))
    assert first == again != second
    other = arrival_times(Arrivals(8.0, seed=1), count=9)
    assert other not in (first, second)


def test_the_rate_rises_evenly_over_the_ramp():
    due = arrival_times(Arrivals(100.0, "constant"), count=3000, ramp_up_s=20.0)
    # The integrated rate is 100 t^2 / 40 in the ramp, and 100 (t - 10) behind it.
    assert [sum(each <= at * S for each in due) for at in (4, 10, 20, 25)] == [40, 250, 1000, 1500]
    assert set(gaps_s(due[1000:])[1:]) == {0.01}


@given(st.floats(0.001, 100), st.floats(0, 200))
def test_a_ramp_undoes_the_integrated_rate(ramp_up_s, seconds):
    at = ramped_s(seconds, ramp_up_s)
    integrated = at**2 / (2 * ramp_up_s) if at < ramp_up_s else at - ramp_up_s / 2
    assert integrated == pytest.approx(seconds, rel=1e-9, abs=1e-12)


def test_without_a_ramp_times_stay():
    assert ramped_s(3.25, 0.0) == 3.25


def test_a_schedule_needs_an_end_and_a_law():
    with pytest.raises(ValueError, match="a count of requests or a duration"):
        arrival_times(Arrivals(1.0))
    with pytest.raises(ValueError, match="a trace says itself"):
        arrival_times(Arrivals(1.0, "trace"), count=1)
