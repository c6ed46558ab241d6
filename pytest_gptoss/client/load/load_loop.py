"""What a closed and an open loop share: requests in flight, their answers, waits that are over, giving up.

All runs on one event loop. Nothing is decoded on the way: answers are read by the backlog in short slices,
and one task watches for waits that are over.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from time import monotonic_ns

import httpx

from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.client.load.backlog import Backlog
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.health import LoopProbe, no_collector
from pytest_gptoss.client.load.job import LoadJob, LoadTarget
from pytest_gptoss.client.load.moments import until
from pytest_gptoss.client.load.requests import LoadRequest, LoadRun, encoded
from pytest_gptoss.client.load.transport import EXCHANGE, StampingTransport
from pytest_gptoss.model.errors import RequestTimeout
from pytest_gptoss.model.results import LoopHealth, RequestTiming

__all__ = ["Flight", "LoadLoop", "drive"]

_WATCH_S = 0.25
"""How often waits are looked at. A timer for each read would cost more than the read, and a timeout noticed a
quarter of a second late does no harm."""
_BYTES_PER_TOKEN = 3
"""Bytes of a request's body for each prompt token: few, so that no wait for a first token is too short."""


class Flight:
    """One request, and the reader of its answer where that was read before it had ended.

    ``intended_ns``: when an open loop is to send it. ``looked_at``: the backlog has been asked to read what
    has come so far.
    """

    __slots__ = ("intended_ns", "looked_at", "reader", "request", "sent")

    def __init__(self, request: LoadRequest, sent: httpx.Request) -> None:
        self.request = request
        self.sent = sent
        self.intended_ns: int | None = None
        self.reader: AnswerReader | None = None
        self.looked_at = False


class LoadLoop(ABC):
    """The requests in flight, and what has come of them so far: ``timings`` by the requests' ids.

    A subclass says when each is sent. ``halted``: no further request is to be sent.
    """

    def __init__(
        self, transport: StampingTransport, job: LoadJob, on_end: Callable[[RequestTiming], None]
    ) -> None:
        self.timings: dict[str, RequestTiming] = {}
        self.halted = False
        self.job = job
        self.transport = transport
        self._interpreter = job.target.interpreter
        self._timeouts = job.target.timeouts
        self._on_end = on_end
        self._failed_in_a_row: set[str] = set()
        self._backlog = Backlog(self._take)
        self._flying: set[Flight] = set()
        self._tasks: list[asyncio.Task[None]] = []
        waits = (self._timeouts.until_first_token(0), self._timeouts.until_next_token)
        self._least_wait_ns = min(wait.seconds for wait in waits) * 1e9

    @abstractmethod
    async def send_all(self, flights: deque[Flight], started_ns: int) -> None:
        """Send the requests, each by ``fly``, until none is left or it is halted; returns when all ended."""

    async def run(self, flights: deque[Flight], started: int) -> tuple[int, int, LoopHealth]:
        """Send all; returns the first and the last moment in ns, and how the client kept up in between."""
        probe = LoopProbe()
        self.begin(self._watch())
        try:
            await self.send_all(flights, started)
            return started, monotonic_ns(), probe.stop()
        finally:
            # Also after an interruption: no task may go on sending while what has ended is being read.
            probe.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run some work beside all other; it is cancelled where the run ends before it."""
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def fly(self, flight: Flight) -> None:
        """Send one request and wait for its answer's end, which the backlog then reads."""
        self._flying.add(flight)
        broken: Exception | None = None
        try:
            await self.transport.handle_async_request(flight.sent)
        except (httpx.TransportError, RequestTimeout) as error:
            broken = error
            self._note_failure(flight.request.id)
        self._flying.discard(flight)
        self._backlog.add(flight.reader or self._reader(flight), broken)

    async def keep_spare(self, count: int) -> None:
        """Open connections until so many are idle. Where one fails, a request that needs it will tell."""
        with suppress(httpx.TransportError):
            await self.transport.keep_idle(httpx.URL(self.job.target.endpoint.root), count)

    def read_all(self) -> None:
        """Read the answers that have ended and were not read yet."""
        self._backlog.drain()

    async def _watch(self) -> None:
        """End requests that wait too long for their first or next token.

        A read alone does not extend a wait, since pings and empty events carry no token. Whether a token
        came is known only by reading the answer, which the backlog does, a slice at a time.
        """
        while True:
            await asyncio.sleep(_WATCH_S)
            now = monotonic_ns()
            for flight in self._flying:
                if not flight.looked_at and self._may_be_overdue(flight, now):
                    flight.looked_at = True
                    reader = flight.reader = flight.reader or self._reader(flight)
                    self._backlog.look(reader, partial(self._break_if_overdue, flight, reader))

    def _may_be_overdue(self, flight: Flight, now_ns: int) -> bool:
        if flight.reader is not None:
            return flight.reader.may_be_overdue(now_ns)
        exchange: Exchange = flight.sent.extensions[EXCHANGE]
        return now_ns - exchange.start_ns > self._least_wait_ns

    def _break_if_overdue(self, flight: Flight, reader: AnswerReader) -> None:
        flight.looked_at = False
        exchange = reader.exchange
        if exchange.over.done():
            return
        now = monotonic_ns()
        error = reader.overdue(now)
        if error is not None:
            exchange.last_ns = now
            exchange.over.set_exception(error)

    def _reader(self, flight: Flight) -> AnswerReader:
        exchange = flight.sent.extensions[EXCHANGE]
        return AnswerReader(
            flight.request,
            exchange,
            prompt_tokens=int(flight.sent.headers["Content-Length"]) // _BYTES_PER_TOKEN,
            interpreter=self._interpreter,
            timeouts=self._timeouts,
            intended_ns=flight.intended_ns,
        )

    def _note_failure(self, request_id: str) -> None:
        """Count a failed request; called at once where the failure shows without reading the answer."""
        self._failed_in_a_row.add(request_id)
        most = self.job.give_up_after
        if most is not None and len(self._failed_in_a_row) >= most:
            self.halted = True

    def _take(self, timing: RequestTiming) -> None:
        """Keep a timing that the backlog has read, and hand it on."""
        self.timings[timing.id] = timing
        if timing.error is None:
            self._failed_in_a_row.clear()
        else:
            self._note_failure(timing.id)
        self._on_end(timing)
        if self.job.stop is not None and self.job.stop():
            self.halted = True


async def drive(
    make_loop: Callable[[StampingTransport, LoadJob, Callable[[RequestTiming], None]], LoadLoop],
    job: LoadJob,
    on_end: Callable[[RequestTiming], None],
) -> LoadRun:
    """Put a job's requests on its server by a loop; returns their timings.

    Requests are encoded and connections opened before the clock starts. ``on_end`` gets each request's
    timing, failed ones included, a little after its end: the backlog decodes answers between the reads of
    others. Interrupted, the run raises what interrupted it after ``on_end`` has had all that had ended;
    requests in flight are left out.

    A failed request is not sent again. Requests in flight when the job gives up or is stopped are waited for.
    Raises UsageError for an unreadable bundle and RequestError when no connection can be had.
    """
    target = job.target
    context = target.context()
    flights = deque([Flight(request, await encoded(request, target.endpoint)) for request in job.requests])
    connect_s = target.timeouts.connect
    async with StampingTransport(context=context, connect_timeout_s=connect_s) as transport:
        await _open(transport, target, min(job.concurrency, len(flights)))
        with no_collector():
            loop = make_loop(transport, job, on_end)
            beginning = await _beginning(job)
            try:
                started, ended, health = await loop.run(flights, beginning)
            finally:
                loop.read_all()
    timings = (loop.timings.get(request.id) for request in job.requests)
    return LoadRun(tuple(each for each in timings if each is not None), health, started, ended)


async def _beginning(job: LoadJob) -> int:
    """Wait for the moment at which the job begins; returns it in ns of the monotonic clock."""
    if job.begin is None:
        return monotonic_ns()
    at_ns = await job.begin()
    await until(at_ns)
    return at_ns


async def _open(transport: StampingTransport, target: LoadTarget, connections: int) -> None:
    """Open the connections; raises RequestError in words."""
    root = target.endpoint.root
    try:
        await transport.open(httpx.URL(root), connections)
    except httpx.TransportError as error:
        raise target.interpreter.unconnected(
            f"connect to {root}", error, connect_s=target.timeouts.connect
        ) from None
