"""Whether a server frees the slot of a request whose client hangs up, seen in the server's own counters.

How promptly the stream is delivered must not matter: a busy API process can hold seconds of tokens back and
hand them over at once. So the counters are polled while the request runs, the client hangs up as soon as they
show it, and the count of generated tokens proves that the request did not run to its own end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from dataclasses import dataclass

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.metrics_page import metric_names, samples, totals
from pytest_gptoss.model.errors import DialectError, RequestError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import AbortTrace

__all__ = ["AbortTrial"]

MOST_TOKENS = 4096
ENOUGH = 8
"""So many generated tokens show that the request decodes."""
PATIENCE_S = 10.0
POLL_S = 0.1
TRIALS = 5
PROMPT = (976, 4853)

RUNNING = "vllm:num_requests_running"
GENERATED = "vllm:generation_tokens_total"


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of one read of the counters: running requests, and tokens generated so far, None where not told.

    ``said``: the server's own line about its running requests.
    """

    running: int
    generated: float | None
    said: str


class AbortTrial:
    """Starts a long request on one device, hangs up, and watches the device's counters.

    ``context`` is the number of tokens that the device serves, None where it does not tell.
    """

    def __init__(self, client: VllmClient, *, context: int | None) -> None:
        self._client = client
        self._room = MOST_TOKENS if context is None else min(MOST_TOKENS, context - len(PROMPT))

    async def ask(self) -> AbortTrace:
        """The first trial that says something, else the last of five.

        Raises RequestError when the long request fails or the counters cannot be read.
        """
        for number in range(1, TRIALS + 1):
            trace = dataclasses.replace(await self._once(), trials=number)
            if trace.says_nothing is None:
                break
        return trace

    async def _once(self) -> AbortTrace:
        before = await self._counts()
        sent = time.monotonic()
        stamps: list[float] = []
        long = asyncio.ensure_future(
            self._client.run_on(
                PROMPT, max_tokens=self._room, arrived=lambda _: stamps.append(time.monotonic())
            )
        )
        try:
            during, at_leaving = await self._until_it_decodes(long, before, stamps)
        finally:
            long.cancel()
            with contextlib.suppress(asyncio.CancelledError, RequestError):
                await long
        said = "" if during > before.running else at_leaving.said
        left = time.monotonic()
        counted = _grown(before, at_leaving)
        if counted is not None and counted > 0:
            pace = (left - sent) / counted
        else:
            pace = (stamps[-1] - stamps[0]) / max(1, len(stamps) - 1) if stamps else 0.0
        after: list[tuple[float, int]] = []
        while not after or (after[-1][1] > before.running and after[-1][0] < PATIENCE_S):
            await asyncio.sleep(POLL_S)
            now = await self._counts()
            after.append((time.monotonic() - left, now.running))
        generated = _grown(before, now)
        return AbortTrace(
            before.running,
            during,
            tuple(after),
            natural_s=pace * max(0.0, self._room - (len(stamps) if counted is None else counted)),
            room=self._room,
            generated=None if generated is None else round(generated),
            said=said,
        )

    async def _until_it_decodes(
        self, long: asyncio.Future[None], before: _Counts, stamps: list[float]
    ) -> tuple[int, _Counts]:
        """Poll until the counters show the request decoding, or it has ended, or its stream shows it alone.

        Returns the most running requests seen, and the last read.
        """
        during = before.running
        while True:
            streamed = len(stamps) >= ENOUGH  # read before the counters: they must be newer
            now = await self._counts()
            during = max(during, now.running)
            generated = _grown(before, now)
            counted = generated >= ENOUGH if generated is not None else streamed
            if streamed or (during > before.running and counted):
                return during, now
            if long.done():
                long.result()  # raises what ended it early
                return during, now
            await asyncio.sleep(POLL_S)

    async def _counts(self) -> _Counts:
        page = await self._client.metrics_text()
        counted = totals(page)
        if RUNNING not in counted:
            raise DialectError(
                say(
                    "/metrics holds no {running} that is a number, though it has vllm: counters: "
                    "{page}: a router's or a gateway's? give the vLLM server's own address",
                    running=RUNNING,
                    page=", ".join(metric_names(page, most=3)),
                )
            )
        lines = "; ".join(sample.line for sample in samples(page, RUNNING))
        said = condense(self._client.scrubbed(lines))
        return _Counts(round(counted[RUNNING]), counted.get(GENERATED), said)


def _grown(before: _Counts, now: _Counts) -> float | None:
    if before.generated is None or now.generated is None:
        return None
    return now.generated - before.generated
