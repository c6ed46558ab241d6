"""The interval of a share of requests that depend on their neighbours, as those in one queue do.

Batch means: the requests are cut into batches in the order of their sending, and the batches' shares taken
for independent. Source: Law and Kelton, "Simulation modeling and analysis", chapter on output analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["BATCHES", "share_interval"]

BATCHES = 20
_STUDENT = 2.093
"""Of a two-sided 95% interval of so many batches: 19 degrees of freedom."""
_NORMAL = 1.96


def share_interval(kept: Sequence[bool]) -> tuple[float, float]:
    """The 95% interval of the share of ``kept``, from 0 to 1; the whole range of fewer than ``BATCHES``.

    Batches differ by one request at most, so that all count. The interval holds the share itself, and is
    never narrower than Wilson's of independent requests: where all are alike, batches tell no spread.
    """
    if len(kept) < BATCHES:
        return 0.0, 1.0
    share = sum(kept) / len(kept)
    edges = [len(kept) * at // BATCHES for at in range(BATCHES + 1)]
    means = [sum(kept[begin:end]) / (end - begin) for begin, end in pairwise(edges)]
    spread = math.sqrt(math.fsum((each - share) ** 2 for each in means) / (BATCHES - 1))
    half = _STUDENT * spread / math.sqrt(BATCHES)
    low, high = _wilson(share, len(kept))
    return max(0.0, min(low, share - half)), min(1.0, max(high, share + half))


def _wilson(share: float, n: int) -> tuple[float, float]:
    square = _NORMAL**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return centre - half, centre + half
