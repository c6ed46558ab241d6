"""Answers that have ended wait here to be read, so that reading delays no other answer's stamps.

Decoding an answer of 512 tokens takes milliseconds. It is done in slices far shorter than what is
measured, with pauses between them; only when more waits than may be kept are the pauses left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.records import RequestTiming

__all__ = ["Backlog"]

SLICE_NS = 200_000
PAUSE_S = 0.004
MAX_KEPT_BYTES = 24 * 2**20


class Backlog:
    """Reads answers in the order they ended and hands their timings to ``take``."""

    def __init__(self, take: Callable[[RequestTiming], None]) -> None:
        self._take = take
        self._waiting: deque[tuple[AnswerReader, Exception | None]] = deque()
        self._kept = 0
        self._next: asyncio.Handle | None = None

    def add(self, reader: AnswerReader, broken: Exception | None) -> None:
        """Let an answer wait; ``broken`` is what ended it early."""
        self._waiting.append((reader, broken))
        self._kept += reader.exchange.memory
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(PAUSE_S, self._slice)

    def drain(self) -> None:
        """Read all that waits, now."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        while self._waiting:
            self._finish()

    def _slice(self) -> None:
        until = monotonic_ns() + SLICE_NS
        while self._waiting and monotonic_ns() < until:
            if self._waiting[0][0].advance(until):
                self._finish()
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._next = None
        elif self._kept > MAX_KEPT_BYTES:
            self._next = loop.call_soon(self._slice)
        else:
            self._next = loop.call_later(PAUSE_S, self._slice)

    def _finish(self) -> None:
        reader, broken = self._waiting.popleft()
        self._kept -= reader.exchange.memory
        self._take(reader.timing(broken))
