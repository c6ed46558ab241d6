"""When the requests of an open level are due: gaps drawn from a law, and the ramp at the beginning.

Gaps are drawn with a mean of 1 and divided by the rate: two levels of one seed have the same gaps, scaled.
The first gap comes before the first request. A ramp of R seconds lets the rate rise evenly from nothing to
its full height. It warps time (Lewis and Shedler's inversion of the integrated rate): a request that without
the ramp were due at t comes at sqrt(2 R t) where t < R / 2, when half of the ramp's time has gone into fewer
requests, and at t + R / 2 from there on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

from pytest_gptoss.model.arrivals import Arrivals

__all__ = ["arrival_times", "ramped_s"]

NS_PER_S = 10**9


def arrival_times(
    arrivals: Arrivals,
    *,
    count: int | None = None,
    duration_s: float | None = None,
    ramp_up_s: float = 0.0,
    trial: int = 0,
) -> list[int]:
    """Nanoseconds after the beginning at which each request is due, rising.

    So many as ``count`` says or as come within ``duration_s``, whichever is fewer. Each ``trial`` has gaps of
    its own. Not for a trace, whose file says when. Raises ValueError where neither end is given.
    """
    if count is None and duration_s is None:
        raise ValueError("a schedule ends after a count of requests or a duration")
    source = Random(f"{arrivals.seed}-{trial}")  # noqa: S311 - no secret
    gap = _gap_of(arrivals, source)
    last_ns = math.inf if duration_s is None else duration_s * NS_PER_S
    due: list[int] = []
    for units in _running_sum(gap):
        at_ns = round(ramped_s(units / arrivals.rate, ramp_up_s) * NS_PER_S)
        if at_ns > last_ns or (count is not None and len(due) >= count):
            return due
        due.append(at_ns)
    raise AssertionError("gaps never end")


def ramped_s(seconds: float, ramp_up_s: float) -> float:
    """When a request comes in a ramp that without one were due after so many seconds."""
    if seconds < ramp_up_s / 2:
        return math.sqrt(2 * ramp_up_s * seconds)
    return seconds + ramp_up_s / 2


def _gap_of(arrivals: Arrivals, source: Random) -> Callable[[], float]:
    """Draws gaps with a mean of 1."""
    if arrivals.law == "poisson":
        return lambda: source.expovariate(1.0)
    if arrivals.law == "gamma":
        shape = 1 / arrivals.cv**2
        return lambda: source.gammavariate(shape, 1 / shape)
    if arrivals.law == "constant":
        return lambda: 1.0
    raise ValueError("a trace says itself when its requests come")


def _running_sum(gap: Callable[[], float]) -> Iterator[float]:
    total = 0.0
    while True:
        total += gap()
        yield total
