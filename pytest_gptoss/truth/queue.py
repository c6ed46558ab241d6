"""A queue in front of the server: so many slots, first come first served, and a time of service each.

Times are planned, not waited for: a slot is free when its plan says so, however late a timer fires. So a busy
machine writes late, which the stamps tell, but never serves more slowly than its law.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

__all__ = ["Queue", "QueueLaw", "Service"]


@dataclass(frozen=True, slots=True)
class QueueLaw:
    """How a queue serves. Times in milliseconds.

    ``service_ms`` is the mean of the time that a request is served for: fixed, or drawn from the exponential
    distribution by ``seed``. ``first_share``: the part of that time after which the first token comes; the
    other tokens are spread over the rest. ``stall_at_ms`` after the first request the whole server stops for
    ``stall_ms``: what is being served goes on afterwards.
    """

    service_ms: float
    slots: int = 1
    exponential: bool = False
    seed: int = 0
    first_share: float = 1.0
    stall_at_ms: float = 0.0
    stall_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """One request's place: served from ``start_ns`` on, for ``service_ns``, a stall in it included."""

    start_ns: int
    service_ns: int
    _drawn_ns: int
    _clock: _StalledClock

    def moment(self, share: float) -> int:
        """When this share of the work is done, in ns."""
        return self._clock.after(self.start_ns, round(share * self._drawn_ns))


@dataclass(frozen=True, slots=True)
class _StalledClock:
    """Counts only the time in which the server works: not from ``begin_ns`` to ``end_ns``."""

    begin_ns: int
    end_ns: int

    def after(self, start_ns: int, work_ns: int) -> int:
        """When so much work is done that is begun at ``start_ns``."""
        stall_ns = self.end_ns - self.begin_ns
        worked = min(start_ns, self.begin_ns) + max(0, start_ns - self.end_ns) + work_ns
        return worked if worked < self.begin_ns else worked + stall_ns


class Queue:
    """Gives each request its place, in the order in which they are asked for."""

    def __init__(self, law: QueueLaw) -> None:
        self.law = law
        self._random = random.Random(law.seed)  # noqa: S311 - a schedule, not a secret
        self._free_ns = [0] * law.slots
        self._clock: _StalledClock | None = None

    def enter(self, read_ns: int) -> Service:
        """The place of a request that was read at that moment; its slot is taken to the end of its service.

        That holds also where the client goes away before.
        """
        if self._clock is None:
            begin_ns = read_ns + round(self.law.stall_at_ms * 1e6)
            self._clock = _StalledClock(begin_ns, begin_ns + round(self.law.stall_ms * 1e6))
        drawn_ns = self._draw()
        start_ns = max(read_ns, self._free_ns[0])
        end_ns = self._clock.after(start_ns, drawn_ns)
        heapq.heapreplace(self._free_ns, end_ns)
        return Service(start_ns, end_ns - start_ns, drawn_ns, self._clock)

    def _draw(self) -> int:
        mean_ns = self.law.service_ms * 1e6
        return round(self._random.expovariate(1.0 / mean_ns) if self.law.exponential else mean_ns)
