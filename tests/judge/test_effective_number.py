"""A series of latencies is worth as many independent ones as its autocorrelation says."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_open import correlated

from pytest_gptoss.judge.effective_number import effective_number, needed_for
from pytest_gptoss.judge.load import percentile_bounds


@pytest.mark.parametrize(("percent", "needed"), [(50, 5), (90, 29), (95, 59), (99, 299)])
def test_a_percentile_needs_so_many_that_their_largest_bounds_it(percent, needed):
    assert needed_for(percent) == needed
    assert (percent / 100) ** needed <= 0.05 < (percent / 100) ** (needed - 1)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_a_correlated_series_is_worth_what_theory_says(rho):
    n = 4000
    found = [effective_number(correlated(n, rho, seed)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(n * (1 - rho) / (1 + rho), rel=0.15)


@pytest.mark.parametrize("n", [60, 300, 4000])
def test_independent_values_count_almost_all(n):
    found = [effective_number(np.random.default_rng(seed).exponential(size=n)) for seed in range(100)]
    assert np.mean(found) > 0.93 * n
    assert np.median(found) == n


def test_values_that_alternate_count_no_more_than_they_are():
    assert effective_number([1.0, 2.0] * 50) == 100
    assert effective_number(correlated(1000, -0.6, 1)) == 1000


def test_a_long_wait_that_hides_in_noise_is_noticed():
    random = np.random.default_rng(3)
    found = [
        effective_number(0.35 * correlated(2000, 0.98, seed) + random.normal(size=2000)) for seed in range(10)
    ]
    # The first autocorrelation is 0.1 only, but the sum of all is 5.4, so 2000 values are worth 170.
    assert np.mean(found) < 600


@pytest.mark.parametrize("values", [[], [1.0], [7.0] * 50, [0.0] * 9])
def test_without_variance_all_count(values):
    assert effective_number(values) == len(values)


def test_a_trend_is_worth_next_to_nothing():
    assert effective_number(range(1000)) < 10


@settings(max_examples=200, deadline=None)
@example([0.0, 3e-179])
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_at_least_one_at_most_all(values):
    assert 1 <= effective_number(values) <= len(values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=120), st.sampled_from([50, 90, 95, 99]), st.data())
def test_bounds_of_fewer_independent_values_are_wider(values, percent, data):
    effective = data.draw(st.floats(1, len(values)))
    low, high = percentile_bounds(values, percent)
    wide_low, wide_high = percentile_bounds(values, percent, effective=effective)
    assert percentile_bounds(values, percent, effective=len(values)) == (low, high)
    assert wide_low is None or low is None or wide_low <= low
    assert wide_high is None or high is None or wide_high >= high
