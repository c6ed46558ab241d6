"""How well the client keeps up while it measures: late timers, CPU, and no garbage collector in between."""

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


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep Python's cyclic garbage collector still: a full collection stops everything for milliseconds."""
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
    """Sets a timer again and again and notes how late it fires; uvloop's timers tick in milliseconds."""

    def __init__(self) -> None:
        self._late_ns = array("q")
        self._loop = asyncio.get_running_loop()
        self._started_ns = monotonic_ns()
        self._cpu_ns = process_time_ns()
        self._due_ns = 0
        self._timer = self._set()

    def stop(self) -> LoopHealth:
        """End probing and give what was seen."""
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
