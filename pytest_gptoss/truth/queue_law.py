"""How long requests wait for a slot, first come first served, from their arrivals and service times alone.

Sources: Lindley, "The theory of queues with a single server" (1952), for one slot; Kiefer and Wolfowitz, "On
the theory of queues with many servers" (1955), for several. Any unit of time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["kiefer_wolfowitz", "lindley", "waits"]


def waits(arrivals: Sequence[float], services: Sequence[float], slots: int) -> Sequence[float]:
    """The wait of each request before its service begins; arrivals rise."""
    if slots == 1:
        found: list[float] = lindley(np.asarray(arrivals), np.asarray(services)).tolist()
        return found
    return kiefer_wolfowitz(arrivals, services, slots)


def lindley(arrivals: npt.NDArray[np.number], services: npt.NDArray[np.number]) -> npt.NDArray[np.number]:
    """Waits at one slot: W(n+1) = max(0, W(n) + S(n) - (A(n+1) - A(n))), as sums less their least so far."""
    steps = services[:-1] - np.diff(arrivals)
    sums = np.concatenate([np.zeros(1, steps.dtype), np.cumsum(steps)])
    return sums - np.minimum.accumulate(sums)


def kiefer_wolfowitz(arrivals: Iterable[float], services: Iterable[float], slots: int) -> list[float]:
    """Waits at several slots: a request takes the one that is free first."""
    free = [float("-inf")] * slots
    found = []
    for arrival, service in zip(arrivals, services, strict=True):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + service)
        found.append(start - arrival)
    return found
