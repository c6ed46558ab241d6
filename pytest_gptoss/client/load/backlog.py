"""Answers wait here to be read, so that reading delays no other answer's stamps.

Decoding an answer of 512 tokens takes milliseconds. It is done in slices far shorter than what is
measured, with pauses between them, each going on where the last one stopped; only when more waits than may
be kept are the pauses left out. Mostly these are answers that have ended; one in flight is read when
it may be overdue, for only its events tell whether tokens still come.
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
PAUSE_S = 0.004
MAX_KEPT_BYTES = 24 * 2**20


class Backlog:
    """Reads answers in the order they ended and hands their timings to ``take``; those in flight go first."""

    def __init__(self, take: Callable[[RequestTiming], None]) -> None:
        self._take = take
        self._ended: deque[tuple[AnswerReader, Exception | None]] = deque()
        self._in_flight: deque[tuple[AnswerReader, Callable[[], None]]] = deque()
        self._kept = 0
        self._next: asyncio.Handle | None = None

    def add(self, reader: AnswerReader, broken: Exception | None) -> None:
        """Let an answer wait; ``broken`` is what ended it early."""
        self._ended.append((reader, broken))
        self._kept += reader.exchange.memory
        self._begin()

    def look(self, reader: AnswerReader, then: Callable[[], None]) -> None:
        """Read what has come of an answer in flight, then call ``then``."""
        self._in_flight.append((reader, then))
        self._begin()

    def drain(self) -> None:
        """Read all that has ended, now."""
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
