"""A load that overflows the KV cache, and its answers scored again while nothing else is asked.

A server whose KV cache is full takes a sequence's part away and computes the sequence again later
(preemption). Rounds of requests, each of its own prompt, grow until the server counts one. Where it tells
how much its cache holds, the first round is made to overflow it; none is sent where even the last could not.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.load import LoadJob, LoadRequest, run_closed_loop
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import LoadShape, TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, LoadLevel, RequestTiming, StressAnswer
from pytest_gptoss.model.subjects import Device, ServerFacts
from pytest_gptoss.scenarios.audit import answers_of
from pytest_gptoss.scenarios.job import Alone, Setup
from pytest_gptoss.scenarios.kinds import Preemption, Preflight
from pytest_gptoss.scenarios.kinds.preemption import AUDITED
from pytest_gptoss.scenarios.load_level import target_of
from pytest_gptoss.scenarios.load_prompts import load_prompts
from pytest_gptoss.scenarios.quiet_scoring import QuietScoring
from pytest_gptoss.scenarios.sequences import sort_out
from pytest_gptoss.scenarios.server_counters import counters_of, grown, kv_cache_tokens, settled_counters

__all__ = ["IN_FLIGHT", "LOAD", "PreemptionRun", "longest_pause_first", "rounds"]

LOAD = "load"
"""What is left out where nothing was preempted; all else that is left out is an answer."""
IN_FLIGHT = (16, 32, 64, 128, 256)
"""Requests of a round, all at once. More would test queues, not the cache."""
LONGEST = 2048
"""Most tokens of a prompt and its answer."""
FIRST = 512
"""The same in the first round, where the size of the KV cache is not known."""
SHORTEST = 128
OVER = 1.25
"""Of what a cache holds, the tokens that overflow it: by less, some answers end before others have grown."""
ANSWER = 0.25
"""The answer's share of a request's tokens: prompts alone just fill a cache, so that many run in it."""
MOST_S = 300.0
"""Longest that the load goes on, and that the scoring does, in seconds."""


@dataclass
class PreemptionRun:
    """Puts load on a device, round by round, and audits the round in which it preempted.

    ``left_out`` says under ``LOAD`` why there is no such round; else which answers were not scored.
    ``at_once``: sequences that the server runs side by side, None where it does not tell.
    """

    device: Device
    longest: int
    alone: Alone
    left_out: Mapping[str, str] = field(default_factory=dict)
    at_once: int | None = None
    _growth: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        self._scoring = QuietScoring(AUDITED, self.alone.on_end, MOST_S)

    @classmethod
    def of(cls, scenario: Preemption, setup: Setup, alone: Alone) -> PreemptionRun:
        """The run on a probed device; nothing is sent to one without ``/metrics``."""
        device = setup.devices[scenario.device]
        context = device.max_model_len or LONGEST + 1
        longest = min(LONGEST, setup.workload.max_scored_tokens, context - 1)
        reason = _why_unseen(device)
        at_once = _sequences_at_once(setup.stored(Preflight(scenario.device)).items)
        return cls(device, longest, alone, {} if reason is None else {LOAD: reason}, at_once)

    @property
    def items(self) -> tuple[StressAnswer, ...]:
        """What was scored so far."""
        return tuple(replace(each, server=self._growth) for each in self._scoring.answers)

    def measure(self) -> None:
        """Put load on the device and score what it answered; raises RequestError where a request fails."""
        page = run_async(self._page())
        held, until = kv_cache_tokens(page), time.monotonic() + MOST_S
        reason = self._why_not(page, held)
        if reason is not None:
            self.left_out = {LOAD: reason}
            return
        for shape in rounds(held, longest=self.longest):
            answered = self._round(shape, until)
            if self._growth is not None and self._growth.get("preemptions"):
                self._audit(shape, answered)
                return
            self.left_out = {LOAD: self._why_never(shape)}
            if time.monotonic() > until:
                return

    # -- whether to begin -----------------------------------------------------------------------

    async def _page(self) -> str:
        async with self.alone.make_client() as client:
            return await client.metrics_text()

    def _why_not(self, page: str, held: float | None) -> str | None:
        """Why no load is put on the device; None where some may make it preempt."""
        name, most = self.device.name, min(IN_FLIGHT[-1], self.at_once or IN_FLIGHT[-1])
        if "preemptions" not in counters_of(page):
            return say("/metrics of {device} has no vllm:num_preemptions_total", device=name)
        if held is None or held < most * self.longest:
            return None
        if math.isinf(held):
            return say("the KV cache of {device} has no bound", device=name)
        return say(
            "the KV cache of {device} holds {held} tokens, and {requests} requests of {tokens} at once do "
            "not fill it: {way}",
            device=name,
            held=int(held),
            requests=most,
            tokens=self.longest,
            way=self._way_out(),
        )

    def _why_never(self, shape: LoadShape) -> str:
        return say(
            "{device} never preempted, up to {requests} requests of {tokens} tokens at once: {way}",
            device=self.device.name,
            requests=shape.requests,
            tokens=shape.prompt_tokens + shape.max_tokens,
            way=self._way_out(),
        )

    def _way_out(self) -> str:
        return say(
            "serve it for this row with --num-gpu-blocks-override N, so few that the context just fits"
        )

    # -- a round --------------------------------------------------------------------------------

    def _round(self, shape: LoadShape, until: float) -> Sequence[RequestTiming]:
        """Ask all of a round at once; returns those that ended. Raises RequestError where one failed."""
        before, requests = run_async(self._prepared(shape))
        ended: list[RequestTiming] = []

        def on_end(timing: RequestTiming) -> None:
            ended.append(timing)
            self.alone.on_end()

        job = LoadJob(target_of(self.alone.make_client()), requests, shape.concurrency)
        run_async(_within(until - time.monotonic(), job, on_end), fast=True)
        _refuse_failed(ended, shape)
        self._growth = run_async(self._growth_since(before, ended))
        return ended

    async def _prepared(self, shape: LoadShape) -> tuple[Mapping[str, float], tuple[LoadRequest, ...]]:
        """The counters before a round, and its requests."""
        async with self.alone.make_client() as client:
            able, count = self.device.capabilities, shape.requests
            prompts = await load_prompts(client, shape, able=able, count=count)
            before = counters_of(await client.metrics_text())
        name = f"gptoss-{secrets.token_hex(4)}-{self.device.name}-preemption"
        return before, prompts.requests(name, model=self.device.model, first=0, last=count)

    async def _growth_since(
        self, before: Mapping[str, float], ended: Sequence[RequestTiming]
    ) -> Mapping[str, float] | None:
        async with self.alone.make_client() as client:
            after = await settled_counters(client, before, requests=len(ended))
        return None if after is None else grown(before, after)

    # -- its answers ----------------------------------------------------------------------------

    def _audit(self, shape: LoadShape, answered: Sequence[RequestTiming]) -> None:
        level = LoadLevel(shape, longest_pause_first(answered))
        context = self.device.max_model_len
        found = sort_out(answers_of(level, "preemption"), context=context, longest=self.longest)
        self.left_out = found.left_out
        run_async(self._score(found.kept))
        # With what was scored they make up the draw: for an answer that could not be, another was scored.
        lacking = max(0, AUDITED - len(self._scoring.answers))
        self.left_out = dict(islice({**found.left_out, **self._scoring.left_out}.items(), lacking))

    async def _score(self, sequences: Sequence[TokenSequence]) -> None:
        async with self.alone.make_client() as client:
            await self._scoring.score(client, sequences)


def rounds(held: float | None, *, longest: int) -> Iterator[LoadShape]:
    """The rounds for a KV cache that holds so many tokens, None where not told.

    The first overflows the cache with as few requests as can. Each later one has twice as many requests, and
    twice as long ones up to ``longest`` tokens: a server may run fewer at once than it is asked.
    """
    fit = [each for each in IN_FLIGHT if held is None or each * longest >= OVER * held] or IN_FLIGHT[-1:]
    tokens = FIRST if held is None else max(SHORTEST, math.ceil(OVER * held / fit[0]))
    for place, requests in enumerate(fit):
        both = min(longest, tokens * 2**place)
        answer = int(ANSWER * both)
        yield LoadShape(requests, requests, both - answer, answer, "completions")


def longest_pause_first(timings: Sequence[RequestTiming]) -> tuple[RequestTiming, ...]:
    """The requests by their longest wait between two tokens: one that was preempted stands still."""
    return tuple(sorted(timings, key=_longest_pause, reverse=True))


def _longest_pause(timing: RequestTiming) -> int:
    return max((later - earlier for earlier, later in pairwise(timing.token_ns)), default=0)


def _sequences_at_once(servers: Sequence[ServerFacts]) -> int | None:
    """``max_num_seqs`` as the server tells it: more requests wait, and fill no cache."""
    known = (each for server in servers for each in server.known if each.name == "max_num_seqs")
    return next((int(each.value) for each in known if each.value.isdecimal()), None)


def _why_unseen(device: Device) -> str | None:
    if device.capabilities.metrics:
        return None
    return say(
        "{device} serves no /metrics, so nobody sees whether it preempts: give the vLLM server's own address",
        device=device.name,
    )


async def _within(seconds: float, job: LoadJob, on_end: Callable[[RequestTiming], None]) -> None:
    """Run a job for so long at most; requests that have not ended are then left out."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(run_closed_loop(job, on_end=on_end), max(seconds, 1.0))


class _Failed(RequestError):
    """Requests of a round failed; ``kind`` is the first one's."""

    def __init__(self, failure: Failure, *, failed: int, requests: int) -> None:
        super().__init__(
            say(
                "{failed} of {requests} requests at once failed, first {message}",
                failed=failed,
                requests=requests,
                message=failure.message,
            )
        )
        self.kind = failure.kind


def _refuse_failed(ended: Sequence[RequestTiming], shape: LoadShape) -> None:
    failures = [timing.error for timing in ended if timing.error is not None]
    if failures:
        raise _Failed(failures[0], failed=len(failures), requests=shape.requests)
