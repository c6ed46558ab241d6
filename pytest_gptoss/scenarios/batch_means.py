"""The interval of a share of requests that depend on their neighbours, as those in one queue do.

Batch means: the requests are cut into batches in the order of their sending, and the batches' shares taken
for independent. Source: Law and Kelton, "Simulation modeling and analysis", chapter on output analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["BATCHES", "share_interval"]

BATCHES = 20
_STUDENT = 2.093
"""Of a two-sided 95% interval of so many batches: 19 degrees of freedom."""
_NORMAL = 1.96


def share_interval(kept: Sequence[bool]) -> tuple[float, float]:
    """The 95% interval of the share of ``kept``, from 0 to 1; the whole range of fewer than ``BATCHES``.

    It is never narrower than Wilson's of independent requests: where all are alike, batches tell no spread.
    """
    if len(kept) < BATCHES:
        return 0.0, 1.0
    size = len(kept) // BATCHES
    counted = kept[len(kept) - size * BATCHES :]
    means = [sum(counted[at : at + size]) / size for at in range(0, len(counted), size)]
    mean = math.fsum(means) / BATCHES
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in means) / (BATCHES - 1))
    half = _STUDENT * spread / math.sqrt(BATCHES)
    low, high = _wilson(mean, len(counted))
    return max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half))


def _wilson(share: float, n: int) -> tuple[float, float]:
    square = _NORMAL**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return centre - half, centre + half
