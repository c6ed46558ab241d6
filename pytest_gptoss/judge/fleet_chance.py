"""What chance does to the nodes of a sound fleet: how far out one may lie before chance does not explain it.

A run of a fleet has three rows that are judged by a test: ``fleet.logprobs``, ``fleet.ttft`` and
``fleet.tpot``. ``FALSE_ALARM`` is the chance that any node of a sound fleet fails any of them; each row has
an equal part of it (Bonferroni), which Holm's procedure spends over its nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_gptoss.judge.intervals import student_critical, student_outside
from pytest_gptoss.model.arrays import FloatArray

__all__ = ["FALSE_ALARM", "ROW_LEVEL", "Scale", "beyond", "mad", "outside", "pairs_scale", "scale_of"]

FALSE_ALARM = 0.01
TESTED_ROWS = 3
ROW_LEVEL = FALSE_ALARM / TESTED_ROWS

USUAL_WORTH, EFFICIENCY = 4, 0.7
"""Degrees of freedom: what is usual counts for so many, ``pairs_scale`` for 70% of the nodes less one."""

_SMALL = {2: 0.399, 3: 0.994, 4: 0.512, 5: 0.844, 6: 0.611, 7: 0.857, 8: 0.669, 9: 0.872}


@dataclass(frozen=True, slots=True)
class Scale:
    """The standard deviation of a figure over sound nodes, and its degrees of freedom."""

    deviation: float
    freedom: int


def scale_of(values: FloatArray, usual: float) -> Scale:
    """The scale of a fleet's figures, at least three: its own and the ``usual`` one, by their weights.

    Few nodes tell little of their scale, and one that is far too small by chance would raise alarms. The
    weighted variance with its larger number of degrees of freedom is that of G. K. Smyth, Stat. Appl. Genet.
    Mol. Biol. 3 (2004) 3, with the prior given.
    """
    own = EFFICIENCY * (len(values) - 1)
    variance = (USUAL_WORTH * usual**2 + own * pairs_scale(values) ** 2) / (USUAL_WORTH + own)
    return Scale(math.sqrt(variance), USUAL_WORTH + int(own))


def outside(deviation: float, freedom: int) -> float:
    """Two-sided p-value of a deviation in standard deviations."""
    return student_outside(deviation, freedom)


def beyond(level: float, freedom: int) -> float:
    """The deviation in standard deviations whose two-sided p-value is ``level``."""
    return student_critical(1 - level, freedom)


def mad(values: FloatArray) -> float:
    """Median absolute deviation from the median, times 1.4826: the standard deviation of normal values."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def pairs_scale(values: FloatArray) -> float:
    """Standard deviation of normal values by the lower quarter of their differences, at least two values.

    Qn of P. J. Rousseeuw and C. Croux, "Alternatives to the median absolute deviation", JASA 88 (1993)
    1273-1283, with their factors for few values: any minority of the values may be anything. It needs 82% of
    the values that the plain estimate does, where the MAD needs 37%.
    """
    n = len(values)
    ordered = np.sort(np.abs(values[:, None] - values)[np.triu_indices(n, 1)])
    half = n // 2 + 1
    factor = _SMALL.get(n, n / (n + (1.4 if n % 2 else 3.8)))
    return 2.2219 * factor * float(ordered[half * (half - 1) // 2 - 1])
