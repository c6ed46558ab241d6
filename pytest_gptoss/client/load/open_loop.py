"""The open loop: each request is sent when it is due, whatever the server does."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.load_loop import Flight, LoadLoop, drive
from pytest_gptoss.client.load.moments import until
from pytest_gptoss.client.load.open_files import many_open_files
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.results import RequestTiming

__all__ = ["run_open_loop"]

AHEAD_NS = 250_000_000
"""Connections are opened so long before the requests that need them: a TLS handshake over a long way fits."""
_SPARE_S = 0.05
"""How often spare connections are counted."""
MOST_SPARE = 64


async def run_open_loop(job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """Send each of the job's requests when it is due (``due_ns``); see ``drive``.

    ``RequestTiming.intended_ns`` is the moment at which each was due. A request that finds no idle connection
    opens one, which counts as time of that request. Raises ValueError where the job has not one due time for
    each request.
    """
    if job.due_ns is None or len(job.due_ns) != len(job.requests):
        raise ValueError("an open loop needs one due time for each request")
    with many_open_files():
        return await drive(_OpenLoop, job, on_end)


class _OpenLoop(LoadLoop):
    """Sends on a schedule."""

    async def send_all(self, flights: deque[Flight], started_ns: int) -> None:
        """Send each request when it is due, then wait for all answers."""
        due = [started_ns + each for each in self.job.due_ns or ()]
        spare = self.begin(self._keep_ahead(due))
        sent: list[asyncio.Task[None]] = []
        for intended_ns in due:
            await until(intended_ns, lambda: self.halted)
            if self.halted:
                break
            flight = flights.popleft()  # none is kept here: each holds the bytes of its answer
            flight.intended_ns = intended_ns
            sent.append(self.begin(self.fly(flight)))
        spare.cancel()
        await asyncio.gather(*sent)

    async def _keep_ahead(self, due: list[int]) -> None:
        """Keep as many connections idle as requests are due soon."""
        while True:
            now = monotonic_ns()
            wanted = bisect_right(due, now + AHEAD_NS) - bisect_right(due, now)
            await self.keep_spare(min(wanted, MOST_SPARE))
            await asyncio.sleep(_SPARE_S)
