"""What a worker does with its part of a job, and the words that it and the controller exchange.

The controller says ``Part``, then ``Begin``; ``Halt`` where enough was sent, and ``Stop`` where the level is
not to go on. The worker says ``Up``, ``Ready``, each request's timing as it ends, and at last its run without
the requests, ``Stopped`` or ``Failed``. Both sides may be processes, or machines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeAlias

from pytest_gptoss.client.endpoint import Secret
from pytest_gptoss.client.load.dispatch import run_load
from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.model.results import RequestTiming

__all__ = [
    "Answer",
    "Begin",
    "Failed",
    "Halt",
    "Order",
    "Part",
    "PartRunner",
    "Ready",
    "Stop",
    "Stopped",
    "Up",
    "part_of",
]


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A worker's part of a job. The key travels beside it, since a ``Secret`` is not written anywhere."""

    job: LoadJob
    key: str | None

    def whole(self) -> LoadJob:
        """The job with its key."""
        return _with_key(self.job, None if self.key is None else Secret(self.key))


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin at this moment of the worker's monotonic clock, in ns."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Halt:
    """Send no further request; those in flight are waited for."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Send nothing more and tell what has ended; requests in flight are left."""


@dataclass(frozen=True, slots=True)
class Up:
    """The worker has started."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Requests are encoded and connections open."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The worker was told to stop, and has told all that had ended."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run could not be begun."""

    error: GptossError


Order: TypeAlias = "Part | Begin | Halt | Stop"
Answer: TypeAlias = "Up | Ready | RequestTiming | LoadRun | Stopped | Failed"


def part_of(job: LoadJob) -> Part:
    """What a worker is sent to do ``job``."""
    key = job.target.endpoint.api_key
    return Part(replace(_with_key(job, None), stop=None, begin=None), None if key is None else key.reveal())


def _with_key(job: LoadJob, key: Secret | None) -> LoadJob:
    endpoint = replace(job.target.endpoint, api_key=key)
    return replace(job, target=replace(job.target, endpoint=endpoint))


class PartRunner:
    """Does one part in the thread that calls ``run``; ``begin`` and ``stop`` are called from another one.

    ``tell`` gets the answers. It is called between the reads of others, so it must be quick.
    """

    def __init__(self, tell: Callable[[Answer], None]) -> None:
        self._tell = tell
        self._begins: Future[int] = Future()
        self._stopped = False
        self._halted = False
        self._cancel: Callable[[], None] | None = None

    def begin(self, at_ns: int) -> None:
        """Begin at this moment of the monotonic clock."""
        self._begins.set_result(at_ns)

    def halt(self) -> None:
        """Send no further request, from the next answer on."""
        self._halted = True

    def stop(self) -> None:
        """Send nothing more; ``run`` then returns soon, or once its connections are open."""
        self._stopped = True
        if self._cancel is not None:
            self._cancel()

    def run(self, part: Part) -> None:
        """Do the part and tell how it ended."""
        job = replace(part.whole(), begin=self._beginning, stop=lambda: self._halted)
        try:
            run = run_load(job, on_end=self._tell)
        except asyncio.CancelledError:
            self._tell(Stopped())
        except GptossError as error:
            self._tell(Failed(error))
        else:
            # Its requests have been told one by one.
            self._tell(replace(run, requests=()))

    async def _beginning(self) -> int:
        """Say that all is ready and wait for the moment to begin."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            self._cancel = lambda: _cancel_in(loop, task)
        if self._stopped:
            raise asyncio.CancelledError
        self._tell(Ready())
        return await asyncio.wrap_future(self._begins)


def _cancel_in(loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]) -> None:
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        return  # the run has ended and its loop is closed
