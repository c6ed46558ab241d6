"""Waiting for a moment of the monotonic clock, never less long.

Timers of event loops tick in milliseconds. So a timer is set a little early, and from there the loop goes
round without a pause until the moment has come; reads are stamped meanwhile as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns

__all__ = ["until"]

_EARLY_NS = 1_500_000
"""A timer is set so much before the moment: uvloop's may be half a millisecond early or late."""
_LONGEST_SLEEP_NS = 250_000_000
"""In longer waits the loop looks whether it was halted."""


async def until(at_ns: int, halted: Callable[[], bool] = lambda: False) -> None:
    """Wait until a moment of the monotonic clock, in ns, or until it is halted."""
    while not halted():
        left = at_ns - monotonic_ns()
        if left <= 0:
            return
        await asyncio.sleep(max(0, min(left - _EARLY_NS, _LONGEST_SLEEP_NS)) / 1e9)
