"""Time that a run has spent on measuring."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

__all__ = ["Stopwatch"]


class Stopwatch:
    """Adds up the time spent inside ``with``; what is nested counts once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.seconds = 0.0
        self._depth = 0
        self._began = 0.0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._began = self._clock()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += self._clock() - self._began
