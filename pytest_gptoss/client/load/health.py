"""How well the client keeps up while it measures: late timers and CPU time, garbage collection off."""

from __future__ import annotations

import asyncio
import gc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns, process_time_ns

from pytest_gptoss.model.results import LoopHealth

__all__ = ["LoopProbe", "no_collector"]

INTERVAL_S = 0.01
"""A hundred samples a second: enough for a 99th percentile, and no noticeable work."""


@contextmanager
def no_collector() -> Iterator[None]:
    """Switch Python's cyclic garbage collector off: a full collection stops the process for milliseconds.

    Freezing what exists keeps a later collection, after the run, from walking through it.
    """
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


class LoopProbe:
    """Sets a timer again and again and notes how late it fires.

    A late timer means that the loop was busy, and stamps were late by as much. uvloop's timers have a
    resolution of a millisecond.
    """

    def __init__(self) -> None:
        self._late_ns = array("q")
        self._loop = asyncio.get_running_loop()
        self._started_ns = monotonic_ns()
        self._cpu_ns = process_time_ns()
        self._due_ns = 0
        self._timer = self._set()

    def stop(self) -> LoopHealth:
        """Stop the timer; returns the lateness in ms and the share of one CPU. May be called twice."""
        self._timer.cancel()
        cpu = (process_time_ns() - self._cpu_ns) / max(monotonic_ns() - self._started_ns, 1)
        late = sorted(self._late_ns) or [0]
        return LoopHealth(_ms(late, 0.5), _ms(late, 0.99), _ms(late, 1.0), cpu)

    def _set(self) -> asyncio.TimerHandle:
        self._due_ns = monotonic_ns() + int(INTERVAL_S * 1e9)
        return self._loop.call_later(INTERVAL_S, self._tick)

    def _tick(self) -> None:
        self._late_ns.append(max(0, monotonic_ns() - self._due_ns))
        self._timer = self._set()


def _ms(sorted_ns: list[int] | array[int], share: float) -> float:
    place = min(len(sorted_ns) - 1, max(0, round(share * len(sorted_ns) + 0.5) - 1))
    return sorted_ns[place] / 1e6
