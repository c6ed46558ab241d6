"""How many independent values a series of latencies is worth, and how many a percentile needs.

Requests of an open loop that arrive one after the other wait in the same queue, so a long wait is followed by
other long ones: a thousand of them may tell no more of a tail than fifty independent ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["effective_number", "needed_for"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

CERTAIN = 0.95
"""Confidence of a percentile's upper bound."""

NOISE = 1.645
"""Standard deviations that a sum of autocorrelations of independent values exceeds in one case of twenty."""


def needed_for(percent: float) -> int:
    """Independent values from which on their largest bounds a percentile from above at 95%.

    All n lie below the percentile with probability q^n, so n = ln 0.05 / ln q, rounded up: 5 for a median,
    29 for p90, 59 for p95, 299 for p99.
    """
    return math.ceil(math.log(1 - CERTAIN) / math.log(percent / 100))


def effective_number(values: Sequence[float]) -> float:
    """Return n / (1 + 2 x sum of autocorrelations) of a series in its order; at least 1, at most n.

    The sum goes on as long as neighbouring autocorrelations add up to more than zero, and to no more than the
    pair before (the initial monotone sequence). A sum that independent values would often have by chance
    counts as none, and so does a series whose values are all equal.

    C. J. Geyer, "Practical Markov chain Monte Carlo", Statist. Sci. 7 (1992) 473-483, section 3.3; for the
    formula see A. M. Law, "Simulation modeling and analysis", 5th ed. (2015), section 4.4.
    """
    n = len(values)
    correlations = _autocorrelations(np.asarray(values, dtype=np.float64))
    if len(correlations) < 2:
        return float(n)
    total, lags = _initial_sum(correlations)
    if total <= NOISE * math.sqrt(lags / n):
        return float(n)
    return max(1.0, n / (1 + 2 * total))


def _initial_sum(correlations: FloatArray) -> tuple[float, int]:
    """The sum of the autocorrelations from lag 1 on that count, and the last lag in it."""
    pairs = correlations[: len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    counted = pairs[: int(ends[0])] if len(ends) else pairs
    if not len(counted):
        return 0.0, 1
    # The first pair holds lag 0, whose autocorrelation is 1.
    return float(np.minimum.accumulate(counted).sum()) - 1.0, 2 * len(counted) - 1


def _autocorrelations(series: FloatArray) -> FloatArray:
    """Those of lags 0 to n - 1, by the Fourier transform; empty where there is no variance."""
    n = len(series)
    if n < 2 or np.ptp(series) <= 1e-12 * float(np.abs(series).max()):
        return np.empty(0)
    # Their size does not matter, and squares of the smallest numbers are 0.
    scaled = series / np.abs(series).max()
    spectrum = np.fft.rfft(scaled - scaled.mean(), 1 << (2 * n - 1).bit_length())
    products = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    correlations: FloatArray = products / products[0]
    return correlations
