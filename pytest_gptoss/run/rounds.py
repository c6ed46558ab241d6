"""A round that is measured on several devices at the same time, while nothing else is asked of any."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TypeAlias

from pytest_gptoss.client.event_loop import together
from pytest_gptoss.client.load.health import no_collector
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.scenarios.job import JobTogether
from pytest_gptoss.scenarios.scenario import Scenario

__all__ = ["Part", "StartingLine", "measure_round"]

LONGEST_WAIT_S = 1.0
"""How long devices that are ready wait for the others: servers close connections that are idle for long."""

Look: TypeAlias = Callable[[str], Awaitable[tuple[ServerIdentity, ...]]]
"""Asks a device by name who answers."""


@dataclass
class Part:
    """One device's part of a round, and what has become of it."""

    scenario: Scenario
    job: JobTogether
    before: tuple[ServerIdentity, ...] = ()
    after: tuple[ServerIdentity, ...] = ()
    failures: tuple[Failure, ...] = ()
    complete: bool = False

    async def prepare(self, look: Look) -> None:
        """Ask who answers, and make the device ready."""
        self.before = await look(self.scenario.device)
        with self._noting():
            await self.job.prepare()

    async def measure(self, line: StartingLine) -> None:
        """Measure, beginning with the others; one that cannot be made ready does not begin."""
        name = self.scenario.device
        with self._noting():
            try:
                if not self.failures:
                    await self.job.measure(lambda: line.begin(name))
                    self.complete = True
            finally:
                line.leave(name)

    async def end(self, look: Look) -> None:
        """Ask again who answers."""
        if self.complete:
            self.after = await look(self.scenario.device)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            told = say("{where}: {error}", where=self.scenario.title, error=error)
            self.failures = (Failure("*", error.kind, told),)


@dataclass
class StartingLine:
    """The moment at which all begin: once all are ready, or one has waited ``LONGEST_WAIT_S``."""

    awaited: set[str]
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, name: str) -> int:
        """Wait for the others; returns the moment on the monotonic clock in ns."""
        self.leave(name)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._open.wait(), LONGEST_WAIT_S)
        self._open.set()
        return monotonic_ns()

    def leave(self, name: str) -> None:
        """Nobody waits for this one any more."""
        self.awaited.discard(name)
        if not self.awaited:
            self._open.set()


async def measure_round(parts: Sequence[Part], look: Look, *, at_once: int) -> None:
    """Measure all parts side by side, ``at_once`` of them at a time; a device's failure is its part's."""
    for first in range(0, len(parts), at_once):
        wave = parts[first : first + at_once]
        line = StartingLine({each.scenario.device for each in wave})
        # Around all: else the first node that ends would let the collector stop the others.
        with no_collector():
            await together([each.prepare(look) for each in wave])
            await together([each.measure(line) for each in wave])
        await together([each.end(look) for each in wave])
