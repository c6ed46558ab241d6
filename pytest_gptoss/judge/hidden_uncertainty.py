"""How uncertain a cosine is whose states were recovered from rounded log-probabilities.

A recovered state is h + e with e of mean 0 and covariance S. To second order in e its cosine c with another
state g changes by

    e'v sqrt(1 - c^2) / |h|  -  c |Pe|^2 / (2 |h|^2),        P = 1 - hh'/|h|^2,

where v is the unit vector across h towards g. The first term has mean 0 and at most the variance
(1 - c^2) largest. The second one lowers the cosine by c power / 2 in the mean, with a variance of
c^2 tr((PSP)^2) / (2 |h|^4), which is at most c^2 largest power / 2. (For a normal e. A sum of thousands of
rounding errors is as good as normal.) Two recovered states add up.

Nothing is corrected by it: where both devices compute the same, their rounding errors are the same and
cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gptoss.model.results import StateFit

__all__ = ["SERVED", "Blur", "CosineError", "cosine_error", "uncertainty_of_mean"]

_SIGMAS = 1.96
"""Standard deviations on both sides of a normal distribution that hold 95% of it."""


@dataclass(frozen=True, slots=True)
class Blur:
    """How far a recovered state h may be off, relative to its length, by the covariance S of its error.

    ``power``: tr(PSP) / |h|^2, the expected square of the error across h. ``largest``: the largest eigenvalue
    of S / |h|^2, the variance in the least certain direction.
    """

    power: float
    largest: float

    @classmethod
    def of(cls, fit: StateFit) -> Blur:
        """That of a recovered state."""
        return cls(fit.power, fit.largest)


SERVED = Blur(0.0, 0.0)
"""Of a state that a server gave, not a recovered one."""


@dataclass(frozen=True, slots=True)
class CosineError:
    """What recovery did to one cosine: it is low by up to ``bias``, and scatters with ``variance``."""

    bias: float
    variance: float


def cosine_error(cosine: float, ours: Blur, theirs: Blur) -> CosineError:
    """The error of the cosine of two states, each of them recovered or served."""
    bias = abs(cosine) * (ours.power + theirs.power) / 2
    variance = sum(each.largest * (1 - cosine**2 + cosine**2 * each.power / 2) for each in (ours, theirs))
    return CosineError(bias, variance)


def uncertainty_of_mean(errors: Sequence[CosineError]) -> float:
    """How far the mean of these positions' cosines may be off, at 95%; of a single one for a single position.

    Positions round independently, so what scatters shrinks with their number; what lowers does not.
    Raises ValueError for no position.
    """
    n = len(errors)
    if not n:
        raise ValueError("no position")
    scatter = math.sqrt(math.fsum(each.variance for each in errors)) / n
    return math.fsum(each.bias for each in errors) / n + _SIGMAS * scatter
