"""The closed loop: a fixed number of requests in flight until all have been answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.load_loop import Flight, LoadLoop, drive
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.results import RequestTiming

__all__ = ["run_closed_loop"]


async def run_closed_loop(job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """Keep the job's ``concurrency`` requests in flight until all have been answered; see ``drive``."""
    return await drive(_ClosedLoop, job, on_end)


class _ClosedLoop(LoadLoop):
    """One stream for each request in flight, which sends one after the other."""

    async def send_all(self, flights: deque[Flight], started_ns: int) -> None:
        """Send the next request whenever an answer has ended."""
        streams = min(self.job.concurrency, len(flights))
        gap_s = self.job.ramp_up_s / streams if streams else 0.0
        await asyncio.gather(*[self.begin(self._stream(flights, place * gap_s)) for place in range(streams)])

    async def _stream(self, flights: deque[Flight], begin_s: float) -> None:
        if begin_s:
            await self._wait(begin_s)
        # The next request goes out as soon as the last answer has ended, before that answer is decoded: else
        # the load would sink below the wanted concurrency for milliseconds.
        while flights and not self.halted:
            await self.fly(flights.popleft())

    async def _wait(self, seconds: float) -> None:
        """Wait for the stream's beginning in a ramp, with a connection that is young enough to be used."""
        await asyncio.sleep(seconds)
        await self.keep_spare(1)
