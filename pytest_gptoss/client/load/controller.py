"""The controller of several workers: one schedule, a common beginning, and every timing as it ends.

A worker that ends before its part is done makes the level worthless as a level: the others are stopped and
hand over what had ended. What a worker is, a process or an actor on another machine, is the caller's matter.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic, monotonic_ns
from typing import Protocol, TypeAlias

from pytest_gptoss.client.load.clocks import moved, moved_run
from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.part import (
    Answer,
    Begin,
    Failed,
    Halt,
    Order,
    Ready,
    Stop,
    Stopped,
    Up,
    part_of,
)
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.client.load.shares import merged, shares
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import RequestTiming

__all__ = ["Controller", "Ended", "Inbox", "Worker", "WorkerError"]

START_S = 120.0
"""So long a worker may take to start, and again to encode its requests and open its connections."""
HAND_OVER_S = 5.0
"""So long stopped workers may take to hand over what had ended, before they are ended."""
_AHEAD_NS = 50_000_000
"""The beginning is so far ahead of its announcement: every worker has heard of it by then."""


class WorkerError(RequestError):
    """A worker of the load could not start, or ended before its part was done."""

    kind = "worker"


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker has ended; ``reason`` says how, in words."""

    reason: str


Inbox: TypeAlias = "queue.SimpleQueue[tuple[int, Answer | Ended]]"
"""Every worker's answers, with the worker's number from 0 on."""


class Worker(Protocol):
    """One worker, as the controller sees it. Its answers come through the inbox, ``Ended`` last."""

    name: str

    @property
    def offset_ns(self) -> int:
        """The worker's clock less the controller's."""

    def send(self, order: Order) -> None:
        """Send an order. One that has ended says so in the inbox, and no error is raised here."""


class Controller:
    """Runs one job on workers that have been started. ``on_end`` gets timings in the caller's thread."""

    def __init__(
        self,
        job: LoadJob,
        workers: Sequence[Worker],
        inbox: Inbox,
        on_end: Callable[[RequestTiming], None],
    ) -> None:
        self._job = job
        self._workers = workers
        self._inbox = inbox
        self._on_end = on_end
        self._timings: list[list[RequestTiming]] = [[] for _ in workers]
        self._last: list[Answer | Ended | None] = [None for _ in workers]
        self._runs: dict[int, LoadRun] = {}
        self._halted = False

    def run(self) -> LoadRun:
        """Run the job; ``on_end`` has had all that had ended, also when this raises.

        Raises WorkerError for a worker that does not start or that ends too early, what a worker could not
        begin for (RequestError, UsageError), and whatever interrupts it.
        """
        try:
            self._wait(Up, START_S)
            for worker, part in zip(self._workers, shares(self._job, len(self._workers)), strict=True):
                worker.send(part_of(part))
            self._wait(Ready, START_S + self._job.target.timeouts.connect)
            at_ns = monotonic_ns() + _AHEAD_NS
            for number, worker in enumerate(self._workers):
                worker.send(Begin(at_ns + worker.offset_ns + self._head_start_ns(number)))
            self._wait(LoadRun, None)
        except BaseException:
            self._hand_over()
            raise
        return merged(self._job, [self._runs[number] for number in range(len(self._workers))])

    def _head_start_ns(self, number: int) -> int:
        """How much later a worker begins, so that streams of a ramp-up begin one by one as in one process."""
        if self._job.due_ns is not None:
            return 0
        return round(number * self._job.ramp_up_s * 1e9 / self._job.concurrency)

    def _wait(self, stage: type, seconds: float | None) -> None:
        """Take answers until every worker has come to this stage; ``seconds`` None: as long as it takes."""
        until = None if seconds is None else monotonic() + seconds
        while late := [i for i, last in enumerate(self._last) if not isinstance(last, stage)]:
            left = None if until is None else max(0.0, until - monotonic())
            try:
                number, answer = self._inbox.get(timeout=left)
            except queue.Empty:
                raise self._error(late[0], say("not ready within {seconds:g} s", seconds=seconds)) from None
            self._take(number, answer)
            if isinstance(answer, Failed):
                raise answer.error
            if isinstance(answer, Ended) and number not in self._runs:
                raise self._error(number, answer.reason)

    def _take(self, number: int, answer: Answer | Ended) -> None:
        offset_ns = self._workers[number].offset_ns
        if isinstance(answer, RequestTiming):
            timing = moved(answer, -offset_ns)
            self._timings[number].append(timing)
            self._on_end(timing)
            if not self._halted and self._job.stop is not None and self._job.stop():
                self._halted = True
                self._tell_all(Halt())
            return
        if isinstance(answer, LoadRun):
            run = moved_run(answer, -offset_ns)
            self._runs[number] = replace(run, requests=tuple(self._timings[number]))
        if number not in self._runs or isinstance(answer, LoadRun):
            self._last[number] = answer

    def _hand_over(self) -> None:
        """Stop all workers and take what they still tell."""
        self._tell_all(Stop())
        until = monotonic() + HAND_OVER_S
        with contextlib.suppress(queue.Empty):
            while not all(isinstance(last, LoadRun | Stopped | Failed | Ended) for last in self._last):
                self._take(*self._inbox.get(timeout=max(0.0, until - monotonic())))

    def _tell_all(self, order: Order) -> None:
        for worker in self._workers:
            worker.send(order)

    def _error(self, number: int, reason: str) -> WorkerError:
        return WorkerError(
            say(
                "{worker} ended before its requests were answered ({reason}), and without it this is not the "
                "load that was asked for: see what ended it, then measure again, or use fewer workers with "
                "--gptoss-load-workers",
                worker=self._workers[number].name,
                reason=reason,
            )
        )
