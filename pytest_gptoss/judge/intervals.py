"""95% confidence intervals: Wilson's for rates, order statistics for percentiles, Student's for trials.

For all else the bootstrap over whole prompts: tokens of one answer depend on each other, so the unit
of resampling is always the prompt, the sequence or the request. All randomness is seeded: the same
measurements give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "Interval",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_ratio",
    "magnitude",
    "quantile_ranks",
    "student",
    "student_critical",
    "student_outside",
    "wilson",
]

CONFIDENCE = 0.95

Interval: TypeAlias = tuple[float, float]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Statistic: TypeAlias = Callable[[FloatArray], FloatArray]

_RESAMPLES = 10_000
_DRAWS_AT_ONCE = 100_000
_NORMAL = NormalDist()


def wilson(successes: float, n: float, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a rate of ``successes`` in ``n`` independent trials, n >= 1.

    Both may be fractions, where trials that depend on each other are worth so many independent ones.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927) 209-212; recommended for small n by Brown, Cai and DasGupta, Statist. Sci. 16 (2001) 101-133.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes in {n} trials: 0 <= successes <= trials, trials >= 1")
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    rate = successes / n
    spread = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / spread
    half = z / spread * float(np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))
    # At the ends the formula gives exactly 0 and 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def quantile_ranks(
    n: int, quantile: float, *, confidence: float = CONFIDENCE
) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the two of n sorted values that enclose a quantile, 0 < quantile < 1.

    Free of any assumption on the distribution: how many of n independent values lie below the
    quantile is binomial. None on a side where even the outermost value is not sure enough: at 95% both
    sides of p95 need 72 values, of p99 368.

    H. A. David and H. N. Nagaraja, "Order statistics", 3rd ed. (2003), section 7.1.
    """
    if n < 1 or not 0 < quantile < 1:
        raise ValueError(f"quantile {quantile} of {n} values: 0 < quantile < 1, values >= 1")
    tail = (1 - confidence) / 2
    k = np.arange(n + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_choose = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
    at_most = np.cumsum(np.exp(log_choose + k * math.log(quantile) + (n - k) * math.log1p(-quantile)))
    # X(l) lies above the quantile when fewer than l values are below it, X(u) under it when u or more are.
    low = int(np.searchsorted(at_most, tail, side="right"))
    high = int(np.searchsorted(at_most, 1 - tail)) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def student(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval | None:
    """Student's t interval of the mean of independent trials; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    half = student_critical(confidence, n - 1) * spread
    return mean - half, mean + half


@lru_cache(maxsize=256)  # tests of a whole fleet ask for the same levels again and again
def student_critical(confidence: float, freedom: int) -> float:
    """What abs(t) of so many degrees of freedom, at least 1, stays below with this probability.

    The distribution function for whole degrees of freedom is that of Abramowitz and Stegun, "Handbook
    of mathematical functions" (1964), 26.7.3 and 26.7.4; its inverse is found by bisection.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def student_outside(t: float, freedom: int) -> float:
    """Probability that abs(t) of so many degrees of freedom is at least this."""
    return max(0.0, 1 - _within(math.atan(abs(t) / math.sqrt(freedom)), freedom))


def _within(angle: float, freedom: int) -> float:
    """Probability that abs(t) is below sqrt(freedom) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total


def bootstrap(
    units: npt.ArrayLike,
    statistic: Statistic,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """BCa bootstrap interval of a statistic of column sums over n units.

    ``units`` is [n, k]: one row a prompt or sequence, its columns summed over the resample; what is
    measured on two devices stands in one row, which makes the bootstrap paired. ``statistic`` maps
    sums [m, k] to values [m].

    None when there are fewer than two units or all of them are alike in the statistic's eyes: a
    resample of equal values knows nothing of what was not seen.

    B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987) 171-185; acceleration from the
    jackknife as in Efron and Tibshirani, "An introduction to the bootstrap" (1993), section 14.3.
    """
    rows = np.asarray(units, dtype=np.float64)
    rows = rows[np.lexsort(rows.T)]  # the order of prompts must not change what the seed draws
    n = len(rows)
    total = rows.sum(axis=0, keepdims=True)
    if n < 2:
        return None
    jackknife = statistic(total - rows)
    if np.ptp(jackknife) <= 1e-12 * max(1.0, float(np.abs(jackknife).max())):
        return None
    values = np.sort(_resampled(rows, statistic, resamples, np.random.default_rng(seed)))
    low, high = np.quantile(values, _bca_levels(values, float(statistic(total)[0]), jackknife, confidence))
    return float(low), float(high)


def bootstrap_ratio(sums: npt.ArrayLike, counts: npt.ArrayLike) -> Interval | None:
    """``bootstrap`` of sum(sums) / sum(counts): a mean over positions, resampled by sequence; both [n]."""
    return bootstrap(np.stack([np.asarray(sums), np.asarray(counts)], axis=1), _ratio)


def bootstrap_mean(values: npt.ArrayLike) -> Interval | None:
    """``bootstrap`` of the mean of one value a unit, ``values`` [n]."""
    return bootstrap_ratio(values, np.ones_like(values))


def magnitude(interval: Interval | None) -> Interval | None:
    """Turn the interval of x into that of abs(x), wide enough on either side of zero."""
    if interval is None:
        return None
    low, high = interval
    reach = max(abs(low), abs(high))
    return (0.0, reach) if low <= 0 <= high else (min(abs(low), abs(high)), reach)


def _ratio(sums: FloatArray) -> FloatArray:
    ratio: FloatArray = sums[:, 0] / sums[:, 1]
    return ratio


def _resampled(
    rows: FloatArray, statistic: Statistic, resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Compute the statistic of ``resamples`` draws of n units with replacement, in bounded memory."""
    n = len(rows)
    block = max(1, _DRAWS_AT_ONCE // n)
    values = np.empty(resamples)
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        drawn = rng.integers(n, size=(stop - start, n))
        sums = np.stack([column[drawn].sum(axis=1) for column in rows.T], axis=1)
        values[start:stop] = statistic(sums)
    return values


def _bca_levels(values: FloatArray, observed: float, jackknife: FloatArray, confidence: float) -> FloatArray:
    """Find the two quantiles to read off the sorted resamples: corrected for bias and for skewness."""
    tail = (1 - confidence) / 2
    plain = np.array([tail, 1 - tail])
    # Ties count half, so that a discrete statistic is not taken for a biased one.
    below = (np.searchsorted(values, observed) + np.searchsorted(values, observed, side="right")) / 2
    share = float(below) / len(values)
    if not 0 < share < 1:
        return plain
    bias = _NORMAL.inv_cdf(share)
    deviation = jackknife.mean() - jackknife
    deviation /= np.abs(deviation).max()  # the ratio below has no scale; its powers must not overflow
    acceleration = float((deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5))
    levels = []
    for level in plain:
        z = bias + _NORMAL.inv_cdf(float(level))
        levels.append(_NORMAL.cdf(bias + z / (1 - acceleration * z)))
    return np.array(levels)
