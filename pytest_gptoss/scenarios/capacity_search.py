"""Where capacity is probed next, from the probes so far: doubling, then bisection, then both ends again.

An undecided probe steers the search to the side of its mean, but is never an end of the interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.model.capacity import CapacityProbe, CapacityTask, confirmed, nearest

__all__ = ["MOST_PROBES", "next_rate"]

WIDTH = 0.04
"""The bisection ends when the bracket is so narrow, as a share of its lower end."""
CONFIRMED = 2
"""Probes of each end of the interval."""
MOST_PROBES = 30
"""No search takes more: from 1 to 1000 requests a second are 10 doublings, then 5 halvings."""
FACTOR = 2.0


def next_rate(probes: Sequence[CapacityProbe], task: CapacityTask) -> float | None:
    """The rate of the next probe; None when the capacity is known as well as it can be."""
    if not probes:
        return min(task.first_rate, task.most_rate)
    if len(probes) >= MOST_PROBES:
        return None
    found = nearest(probes)
    if found.low is None or found.high is None:
        return _beyond(probes, task, upwards=found.high is None)
    if found.high > found.low * (1 + WIDTH):
        return _rounded((found.low + found.high) / 2)
    return _to_confirm(probes, task)


def _to_confirm(probes: Sequence[CapacityProbe], task: CapacityTask) -> float | None:
    """A rate that would make an end of the interval sure; None where both are."""
    ends = confirmed(probes)
    for end, upwards in ((ends.low, False), (ends.high, True)):
        rate = _beyond(probes, task, upwards=upwards) if end is None else end
        if rate is not None and sum(each.rate == rate for each in probes) < CONFIRMED:
            return rate
    return None


def _beyond(probes: Sequence[CapacityProbe], task: CapacityTask, *, upwards: bool) -> float | None:
    """A rate higher or lower than all that were tried; the bound itself, tried twice, is the last."""
    tried = [each.rate for each in probes]
    edge = max(tried) if upwards else min(tried)
    wanted = edge * FACTOR if upwards else edge / FACTOR
    rate = _rounded(min(max(wanted, task.least_rate), task.most_rate))
    return rate if tried.count(rate) < CONFIRMED else None


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")
