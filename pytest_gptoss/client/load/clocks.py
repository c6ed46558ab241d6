"""Clocks of several machines: how far one is off another, and stamps moved from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic_ns

from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.results import RequestTiming

__all__ = ["Clock", "moved", "moved_run", "read_clock"]

TRIES = 20


@dataclass(frozen=True, slots=True)
class Clock:
    """A worker's monotonic clock less the controller's, and by how much that may be wrong, in ns."""

    offset_ns: int = 0
    error_ns: int = 0

    def error_until(self, later: Clock) -> int:
        """By how much stamps moved by this offset may be off, drift up to a later reading included, in ns."""
        return max(self.error_ns, later.error_ns) + abs(later.offset_ns - self.offset_ns)


def read_clock(ask: Callable[[], int], *, now: Callable[[], int] = monotonic_ns, tries: int = TRIES) -> Clock:
    """Read the clock that ``ask`` tells over some way and back, by the round trip that took the least time.

    The clock was read somewhere within that round trip: half of it is what the offset may be wrong by.
    """
    found: list[Clock] = []
    for _ in range(tries):
        before = now()
        there = ask()
        after = now()
        found.append(Clock(there - (before + after) // 2, (after - before + 1) // 2))
    return min(found, key=lambda each: each.error_ns)


def moved(timing: RequestTiming, by_ns: int) -> RequestTiming:
    """The timing with all its stamps moved: no duration in it changes."""
    if not by_ns:
        return timing
    return replace(
        timing,
        start_ns=timing.start_ns + by_ns,
        sent_ns=_plus(timing.sent_ns, by_ns),
        token_ns=tuple(each + by_ns for each in timing.token_ns),
        first_text_ns=_plus(timing.first_text_ns, by_ns),
        end_ns=timing.end_ns + by_ns,
        intended_ns=_plus(timing.intended_ns, by_ns),
    )


def moved_run(run: LoadRun, by_ns: int) -> LoadRun:
    """The run with its own moments moved; its requests stay as they are."""
    return replace(run, started_ns=run.started_ns + by_ns, ended_ns=run.ended_ns + by_ns)


def _plus(stamp_ns: int | None, by_ns: int) -> int | None:
    return None if stamp_ns is None else stamp_ns + by_ns
