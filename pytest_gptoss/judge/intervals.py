"""95% confidence intervals: Wilson's for rates, the bootstrap over whole prompts for all else.

Tokens of one answer depend on each other, so the unit of resampling is always the prompt or the
sequence. All randomness is seeded: the same measurements give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "Interval", "bootstrap", "bootstrap_mean", "bootstrap_ratio", "magnitude", "wilson"]

CONFIDENCE = 0.95

Interval: TypeAlias = tuple[float, float]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Statistic: TypeAlias = Callable[[FloatArray], FloatArray]

_RESAMPLES = 10_000
_DRAWS_AT_ONCE = 100_000
_NORMAL = NormalDist()


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a rate of ``successes`` in ``n`` independent trials, n >= 1.

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
