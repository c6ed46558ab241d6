"""Answers that wait to be decoded, so that decoding delays no other answer's stamps.

There is one event loop, and while it decodes it stamps nothing. Decoding an answer of 512 tokens takes
milliseconds, as much as what is measured. So it is done in slices that are far shorter, with pauses in which
the loop reads sockets; each slice goes on where the last one stopped. The pauses are left out only when the
kept bytes exceed ``MAX_KEPT_BYTES``. Nearly all of these answers have ended; one in flight is read when it
may be overdue, since only its events tell whether tokens still come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.model.results import RequestTiming

__all__ = ["Backlog"]

SLICE_NS = 200_000
"""Time that one slice takes: the most by which decoding delays a stamp, well below a millisecond."""
PAUSE_S = 0.004
"""Time between slices: decoding takes at most a twentieth of the loop's time."""
MAX_KEPT_BYTES = 24 * 2**20
"""Memory that ended answers may take before they are decoded without pauses."""


class Backlog:
    """Decodes answers in the order they ended, those in flight first; ``take`` gets the timings."""

    def __init__(self, take: Callable[[RequestTiming], None]) -> None:
        self._take = take
        self._ended: deque[tuple[AnswerReader, Exception | None]] = deque()
        self._in_flight: deque[tuple[AnswerReader, Callable[[], None]]] = deque()
        self._kept = 0
        self._next: asyncio.Handle | None = None

    def add(self, reader: AnswerReader, broken: Exception | None) -> None:
        """Queue an answer that has ended; ``broken`` is the error that ended it early, if one did."""
        self._ended.append((reader, broken))
        self._kept += reader.exchange.memory
        self._begin()

    def look(self, reader: AnswerReader, then: Callable[[], None]) -> None:
        """Queue an answer in flight: what has come of it is read, then ``then`` is called."""
        self._in_flight.append((reader, then))
        self._begin()

    def drain(self) -> None:
        """Decode all that has ended, without pauses; answers in flight are dropped."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._in_flight.clear()
        while self._ended:
            self._finish()

    def _begin(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(PAUSE_S, self._slice)

    def _slice(self) -> None:
        until = monotonic_ns() + SLICE_NS
        while (self._in_flight or self._ended) and monotonic_ns() < until:
            self._read_on(until)
        loop = asyncio.get_running_loop()
        if not (self._in_flight or self._ended):
            self._next = None
        elif self._kept > MAX_KEPT_BYTES:
            self._next = loop.call_soon(self._slice)
        else:
            self._next = loop.call_later(PAUSE_S, self._slice)

    def _read_on(self, until_ns: int) -> None:
        if self._in_flight:
            reader, then = self._in_flight[0]
            if reader.advance(until_ns):
                self._in_flight.popleft()
                then()
        elif self._ended[0][0].advance(until_ns):
            self._finish()

    def _finish(self) -> None:
        reader, broken = self._ended.popleft()
        self._kept -= reader.exchange.memory
        self._take(reader.timing(broken))
