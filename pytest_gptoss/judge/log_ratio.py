"""The ratio of two means that were measured on the same units, with an interval for few and unequal units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.intervals import Interval, student

__all__ = ["log_ratio_interval"]


def log_ratio_interval(tested: npt.ArrayLike, reference: npt.ArrayLike) -> Interval | None:
    """95% interval of sum(tested) / sum(reference), from one sum a unit on each side, both [n].

    Student's t over the jackknife's pseudo-values of the ratio's logarithm. A unit's two sums stay together,
    which makes it paired: what makes a sequence hard for both devices does not widen it. With few units whose
    sums a handful of large errors decide, the bootstrap covers too little; this one keeps its 95%.

    Where nothing was tested wrong the ratio is 0 in every unit, and so are both ends. None for fewer than two
    units, and where the logarithm does not exist: a side that is zero without one of its units.

    J. W. Tukey, "Bias and confidence in not quite large samples", Ann. Math. Stat. 29 (1958) 614;
    R. G. Miller, "The jackknife, a review", Biometrika 61 (1974) 1-15.
    """
    ours, theirs = np.asarray(tested, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    n = len(ours)
    without = _sum_without_each(ours), _sum_without_each(theirs)
    if n >= 2 and not ours.any() and float(without[1].min()) > 0:
        return 0.0, 0.0
    if n < 2 or min(float(side.min()) for side in without) <= 0:
        return None
    whole = math.log(math.fsum(ours) / math.fsum(theirs))
    found = student(list(n * whole - (n - 1) * np.log(without[0] / without[1])))
    return None if found is None else (math.exp(found[0]), math.exp(found[1]))


def _sum_without_each(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Not the total less one unit: that leaves a rounding error where all others are zero.
    return np.array([math.fsum(np.delete(values, index)) for index in range(len(values))])
