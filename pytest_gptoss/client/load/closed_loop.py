"""The closed loop: a fixed number of requests in flight until all have been answered.

One worker task for each request in flight sends one after the other, on one event loop. While they run,
nothing is decoded on the way: answers are read by the backlog in short slices, and one task watches for waits
that are over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic_ns

import httpx

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.load.answer import AnswerReader
from pytest_gptoss.client.load.backlog import Backlog
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.health import LoopProbe, no_collector
from pytest_gptoss.client.load.job import LoadJob, LoadTarget
from pytest_gptoss.client.load.requests import LoadRequest, LoadRun, encoded
from pytest_gptoss.client.load.transport import EXCHANGE, StampingTransport
from pytest_gptoss.model.errors import RequestTimeout
from pytest_gptoss.model.results import LoopHealth, RequestTiming

__all__ = ["beginning", "run_closed_loop", "run_load"]

_WATCH_S = 0.25
"""How often waits are looked at. A timer for each read would cost more than the read, and a timeout noticed a
quarter of a second late does no harm."""
_BYTES_PER_TOKEN = 3
"""Bytes of a request's body for each prompt token: few, so that no wait for a first token is too short."""


async def run_closed_loop(job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """Keep the job's ``concurrency`` requests in flight until all have been answered; returns their timings.

    Requests are encoded and connections opened before the clock starts. ``on_end`` gets each request's
    timing, failed ones included, a little after its end: the backlog decodes answers between the reads of
    others. Interrupted, the run raises what interrupted it after ``on_end`` has had all that had ended;
    requests in flight are left out.

    A failed request is not sent again. Requests in flight when the job gives up are waited for. Raises
    UsageError for an unreadable bundle and RequestError when no connection can be had.
    """
    target = job.target
    context = target.context()
    flights = deque([_Flight(request, await encoded(request, target.endpoint)) for request in job.requests])
    connections = min(job.concurrency, len(flights))
    connect_s = target.timeouts.connect
    async with StampingTransport(context=context, connect_timeout_s=connect_s) as transport:
        await _open(transport, target, connections)
        with no_collector():
            loop = _ClosedLoop(transport, job, on_end)
            await beginning(job)
            try:
                started, ended, health = await loop.run(flights, connections)
            finally:
                loop.read_all()
    timings = (loop.timings.get(request.id) for request in job.requests)
    return LoadRun(tuple(each for each in timings if each is not None), health, started, ended)


def run_load(job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """``run_closed_loop`` from synchronous code, on a new event loop: uvloop's when installed."""
    return run_async(run_closed_loop(job, on_end=on_end), fast=True)


async def beginning(job: LoadJob) -> int:
    """Wait for the moment at which the job begins; returns it in ns of the monotonic clock."""
    if job.begin is None:
        return monotonic_ns()
    at_ns = await job.begin()
    await asyncio.sleep(max(0, at_ns - monotonic_ns()) / 1e9)
    return at_ns


class _Flight:
    """One request, and the reader of its answer where that was read before it had ended.

    ``looked_at``: the backlog has been asked to read what has come so far.
    """

    __slots__ = ("looked_at", "reader", "request", "sent")

    def __init__(self, request: LoadRequest, sent: httpx.Request) -> None:
        self.request = request
        self.sent = sent
        self.reader: AnswerReader | None = None
        self.looked_at = False


class _ClosedLoop:
    """The workers, and what has come of their requests so far: ``timings`` by the requests' ids."""

    def __init__(
        self, transport: StampingTransport, job: LoadJob, on_end: Callable[[RequestTiming], None]
    ) -> None:
        self.timings: dict[str, RequestTiming] = {}
        self._transport = transport
        self._interpreter = job.target.interpreter
        self._timeouts = job.target.timeouts
        self._on_end = on_end
        self._give_up_after = job.give_up_after
        self._failed_in_a_row: set[str] = set()
        self._given_up = False
        self._backlog = Backlog(self._take)
        self._flying: set[_Flight] = set()
        waits = (self._timeouts.until_first_token(0), self._timeouts.until_next_token)
        self._least_wait_ns = min(wait.seconds for wait in waits) * 1e9

    async def run(self, flights: deque[_Flight], concurrency: int) -> tuple[int, int, LoopHealth]:
        """Send all; returns the first and the last moment in ns, and how the client kept up in between."""
        probe = LoopProbe()
        started = monotonic_ns()
        tasks = [asyncio.ensure_future(self._work(flights)) for _ in range(concurrency)]
        tasks.append(asyncio.ensure_future(self._watch()))
        try:
            await asyncio.gather(*tasks[:-1])
            return started, monotonic_ns(), probe.stop()
        finally:
            # Also after an interruption: no task may go on sending while what has ended is being read.
            probe.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def read_all(self) -> None:
        """Read the answers that have ended and were not read yet."""
        self._backlog.drain()

    async def _work(self, flights: deque[_Flight]) -> None:
        # The next request goes out as soon as the last answer has ended, before that answer is decoded: else
        # the load would sink below the wanted concurrency for milliseconds.
        while flights and not self._given_up:
            flight = flights.popleft()
            self._flying.add(flight)
            broken: Exception | None = None
            try:
                await self._transport.handle_async_request(flight.sent)
            except (httpx.TransportError, RequestTimeout) as error:
                broken = error
                self._note_failure(flight.request.id)
            self._flying.discard(flight)
            self._backlog.add(flight.reader or self._reader(flight), broken)

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

    def _may_be_overdue(self, flight: _Flight, now_ns: int) -> bool:
        if flight.reader is not None:
            return flight.reader.may_be_overdue(now_ns)
        exchange: Exchange = flight.sent.extensions[EXCHANGE]
        return now_ns - exchange.start_ns > self._least_wait_ns

    def _break_if_overdue(self, flight: _Flight, reader: AnswerReader) -> None:
        flight.looked_at = False
        exchange = reader.exchange
        if exchange.over.done():
            return
        now = monotonic_ns()
        error = reader.overdue(now)
        if error is not None:
            exchange.last_ns = now
            exchange.over.set_exception(error)

    def _reader(self, flight: _Flight) -> AnswerReader:
        exchange = flight.sent.extensions[EXCHANGE]
        return AnswerReader(
            flight.request,
            exchange,
            prompt_tokens=int(flight.sent.headers["Content-Length"]) // _BYTES_PER_TOKEN,
            interpreter=self._interpreter,
            timeouts=self._timeouts,
        )

    def _note_failure(self, request_id: str) -> None:
        """Count a failed request; called at once where the failure shows without reading the answer."""
        self._failed_in_a_row.add(request_id)
        if self._give_up_after is not None and len(self._failed_in_a_row) >= self._give_up_after:
            self._given_up = True

    def _take(self, timing: RequestTiming) -> None:
        """Keep a timing that the backlog has read, and hand it on."""
        self.timings[timing.id] = timing
        if timing.error is None:
            self._failed_in_a_row.clear()
        else:
            self._note_failure(timing.id)
        self._on_end(timing)


async def _open(transport: StampingTransport, target: LoadTarget, connections: int) -> None:
    """Open the connections; raises RequestError in words."""
    root = target.endpoint.root
    try:
        await transport.open(httpx.URL(root), connections)
    except httpx.TransportError as error:
        raise target.interpreter.unconnected(
            f"connect to {root}", error, connect_s=target.timeouts.connect
        ) from None
