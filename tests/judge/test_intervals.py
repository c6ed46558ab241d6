"""Intervals cover what they claim, whatever the order of the prompts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.judge.intervals import (
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    magnitude,
    quantile_ranks,
    student,
    wilson,
)

TRIALS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
VALUES = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=40)


def difference_of_means(sums):
    return (sums[:, 0] - sums[:, 1]) / sums[:, 2]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.49016, 0.94332), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (57, 60, 0.86300, 0.98285)],
)
def test_wilson_agrees_with_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-5)


@given(TRIALS)
def test_wilson_holds_the_rate_and_mirrors_failures(trial):
    successes, n = trial
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.95, 0.98])
def test_wilson_covers_about_95_percent_of_what_60_prompts_can_show(rate):
    coverage = sum(
        math.comb(60, k) * rate**k * (1 - rate) ** (60 - k)
        for k in range(61)
        if wilson(k, 60)[0] <= rate <= wilson(k, 60)[1]
    )
    assert 0.92 < coverage < 0.98


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="trials"):
        wilson(successes, n)


def test_bootstrap_covers_the_mean_of_skewed_samples():
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        sample = rng.exponential(size=60)
        units = np.column_stack([sample, np.ones(60)])
        low, high = bootstrap(units, lambda sums: sums[:, 0] / sums[:, 1], resamples=1000)
        covered += low <= 1 <= high
    assert 0.90 < covered / 400 < 0.98


@settings(max_examples=30)
@given(VALUES, st.randoms(use_true_random=False))
def test_bootstrap_does_not_depend_on_the_order_of_prompts(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert bootstrap_mean(shuffled) == pytest.approx(bootstrap_mean(values), nan_ok=False)


@settings(max_examples=30)
@given(VALUES)
def test_bootstrap_stays_within_the_values(values):
    interval = bootstrap_mean(values)
    if interval is not None:
        low, high = interval
        assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_bootstrap_is_seeded():
    values = np.random.default_rng(1).normal(size=20)
    assert bootstrap_mean(values) == bootstrap_mean(values)


@pytest.mark.parametrize("values", [[0.3], [1.0] * 60])
def test_bootstrap_of_values_without_spread_claims_nothing(values):
    assert bootstrap_mean(values) is None


def test_a_ratio_weighs_sequences_by_their_length():
    low, high = bootstrap_ratio([0.0, 90.0, 1.0], [1, 100, 2])
    assert 0 <= low < 91 / 103 < high <= 0.9


def test_pairing_removes_what_both_sides_share():
    rng = np.random.default_rng(3)
    shared, noise = rng.normal(size=50), rng.normal(scale=0.01, size=50)
    paired = np.column_stack([shared + noise, shared, np.ones(50)])
    unpaired = np.column_stack([shared + noise, rng.permutation(shared), np.ones(50)])
    width = [np.ptp(bootstrap(units, difference_of_means)) for units in (paired, unpaired)]
    assert width[0] < width[1] / 20


def test_bootstrap_survives_values_at_the_end_of_the_scale():
    low, high = bootstrap_mean([1e300, 2e300, 3.0])
    assert 0 <= low < high <= 2e300


@pytest.mark.parametrize(
    ("interval", "folded"),
    [
        ((-1.0, 3.0), (0.0, 3.0)),
        ((-3.0, 1.0), (0.0, 3.0)),
        ((1.0, 2.0), (1.0, 2.0)),
        ((-2.0, -1.0), (1.0, 2.0)),
    ],
)
def test_magnitude_folds_at_zero(interval, folded):
    assert magnitude(interval) == folded


def test_magnitude_of_no_interval_is_none():
    assert magnitude(None) is None


@pytest.mark.parametrize(
    ("n", "quantile", "ranks"),
    [
        (50, 0.5, (18, 33)),
        (200, 0.5, (86, 115)),
        (6, 0.5, (1, 6)),
        (5, 0.5, (None, None)),
        (71, 0.95, (63, None)),
        (72, 0.95, (64, 72)),
        (367, 0.99, (359, None)),
        (368, 0.99, (360, 368)),
    ],
)
def test_ranks_around_a_quantile_agree_with_binomial_tables(n, quantile, ranks):
    assert quantile_ranks(n, quantile) == ranks


@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_ranks_cover_their_quantile_and_no_narrower_ones_do(n, quantile):
    def at_most(count):
        return sum(math.comb(n, k) * quantile**k * (1 - quantile) ** (n - k) for k in range(count + 1))

    low, high = quantile_ranks(n, quantile)
    slack = 1e-9
    if low is not None:
        assert 1 <= low <= n
        assert at_most(low - 1) <= 0.025 + slack
    assert low == n or at_most(low or 0) > 0.025 - slack
    if high is not None:
        assert 1 <= high <= n
        assert at_most(high - 1) >= 0.975 - slack
        assert high == 1 or at_most(high - 2) < 0.975 + slack
    else:
        assert at_most(n - 1) < 0.975 + slack


@pytest.mark.parametrize(
    ("freedom", "critical"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)],
)
def test_students_interval_agrees_with_the_tables(freedom, critical):
    values = [-1.0, 1.0, *[0.0] * (freedom - 1)]
    spread = math.sqrt(2 / freedom / (freedom + 1))
    low, high = student(values)
    assert (low, high) == pytest.approx((-critical * spread, critical * spread), rel=1e-5)


def test_one_trial_has_no_students_interval():
    assert student([3.0]) is None
    assert student([3.0, 3.0]) == (3.0, 3.0)
