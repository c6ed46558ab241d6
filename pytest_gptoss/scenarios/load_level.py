"""One load level on one device: make prompts, warm up, put load on it, read counters before and after."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.load import (
    Drive,
    LoadJob,
    LoadRequest,
    LoadRun,
    LoadTarget,
    round_trip_ms,
    run_load,
)
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, LoadLevel, RequestTiming
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_prompts import LoadPrompts, load_prompts
from pytest_gptoss.scenarios.open_levels import Schedule, schedule_of
from pytest_gptoss.scenarios.server_counters import (
    grown,
    read_cache_block,
    resting_counters,
    settled_counters,
)

__all__ = ["LevelRun", "counted", "refuse_unanswered", "target_of", "why_too_long", "with_running_usage"]

WARM_UP_TOKENS = 32
"""Most output tokens of a request that only warms the server up."""
_RUNNING_USAGE = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
FAILED_ROUNDS = 3
"""A level is given up after so many failures in a row for each request in flight: other scenarios, which
ask one by one, give up after as many."""


def why_too_long(shape: LoadShape, *, device: str, context: int | None) -> str | None:
    """Why a level cannot be asked of a device at all, in a line; None when it fits its context."""
    needed = shape.context_needed
    if context is None or needed <= context:
        return None
    if shape.longest is not None:
        return say(
            "the trace's longest request needs a context of {needed} tokens and {device} serves {context}: "
            "serve with --max-model-len {needed} or more, or leave longer requests out of the trace",
            needed=needed,
            device=device,
            context=context,
        )
    return say(
        "a load request needs a context of {needed} tokens and {device} serves "
        "{context}: serve with --max-model-len {needed} or more, or ask for less with "
        "--gptoss-prompt-len and --gptoss-max-tokens",
        needed=needed,
        device=device,
        context=context,
    )


@dataclass
class LevelRun:
    """Measures one level. ``level`` holds what was measured so far, also after an interruption.

    ``make_client`` gives an unopened client of the device; ``on_end`` is called after every measured request.
    ``drive`` puts the measured load, None: this process does. It always warms the server up.
    """

    scenario: Load
    shape: LoadShape
    device: Device
    make_client: Callable[[], VllmClient]
    on_end: Callable[[], None]
    drive: Drive | None = None
    level: LoadLevel = field(init=False)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why the level cannot be asked of the device, by its name; empty when it can."""
        context = self.device.max_model_len
        reason = why_too_long(self.shape, device=self.device.name, context=context)
        return {} if reason is None else {self.scenario.level: reason}

    @property
    def items(self) -> tuple[LoadLevel, ...]:
        """The level as far as it was measured; none where it is left out."""
        return () if self.left_out else (self.level,)

    def __post_init__(self) -> None:
        self.level = LoadLevel(self.shape, ())
        self._ended: list[RequestTiming] = []

    def measure(self) -> None:
        """Measure the level; raises RequestError when no load could be put on the device.

        A device that answers none of the requests that warm it up is not measured; one that stops
        answering on the way is given up after ``FAILED_ROUNDS``, and the rest is never sent.
        """
        schedule = schedule_of(self.shape, trial=self.scenario.trial)
        prompts = run_async(self._prompts(schedule))
        name = f"gptoss-{secrets.token_hex(4)}-{self.scenario.device}-{self.scenario.level}"
        model, warm = self.device.model, self.shape.concurrency
        warming = _cut(prompts.requests(f"{name}-warm", model=model, first=0, last=warm))
        warmed = self._run(warming, lambda _: None).requests
        refuse_unanswered(warmed)
        before = run_async(self._beforehand())
        self.level = replace(self.level, frame_tokens=prompts.frame_tokens)
        requests = counted(
            prompts.requests(name, model=model, first=warm, last=warm + self.shape.requests), warmed
        )
        try:
            run = self._run(
                requests,
                self._keep,
                due_ns=schedule.due_ns,
                ramp_up_s=self.shape.ramp_up_s,
                drive=self.drive,
            )
            self.level = replace(self.level, requests=run.requests, health=run.health)
        except BaseException:
            self.level = replace(self.level, requests=tuple(self._ended))
            raise
        if before is not None:
            after = run_async(self._afterwards(before))
            self.level = replace(self.level, server=None if after is None else grown(before, after))

    def _keep(self, timing: RequestTiming) -> None:
        self._ended.append(timing)
        self.on_end()

    def _run(
        self,
        requests: tuple[LoadRequest, ...],
        on_end: Callable[[RequestTiming], None],
        *,
        due_ns: Sequence[int] | None = None,
        ramp_up_s: float = 0.0,
        drive: Drive | None = None,
    ) -> LoadRun:
        concurrency = self.shape.concurrency
        job = LoadJob(
            target_of(self.make_client()),
            requests,
            concurrency,
            give_up_after=FAILED_ROUNDS * concurrency,
            due_ns=due_ns,
            ramp_up_s=ramp_up_s,
        )
        return (drive or run_load)(job, on_end=on_end)

    async def _prompts(self, schedule: Schedule) -> LoadPrompts:
        """Prompts of the requests that warm up, as long as the first of the others, then of those."""
        warm = self.shape.concurrency
        lengths = None if schedule.lengths is None else [*schedule.lengths[:warm], *schedule.lengths]
        async with self.make_client() as client:
            return await load_prompts(
                client,
                self.shape,
                able=self.device.capabilities,
                count=warm + self.shape.requests,
                lengths=lengths,
            )

    async def _beforehand(self) -> dict[str, float] | None:
        """Keep round trips and the cache's block size; returns the counters once they include the warm-up."""
        async with self.make_client() as client:
            self.level = replace(self.level, rtt_ms=await _round_trips(client))
            if not self.device.capabilities.metrics:
                return None
            before = await resting_counters(client)
            self.level = replace(self.level, cache_block=await read_cache_block(client))
            return before

    async def _afterwards(self, before: dict[str, float]) -> dict[str, float] | None:
        async with self.make_client() as client:
            return await settled_counters(client, before, requests=len(self.level.requests))


class _Unanswered(RequestError):
    """No request that warms the server up was answered; ``kind`` is the first one's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(
            say("no request that warms the server up was answered, first {message}", message=failure.message)
        )
        self.kind = failure.kind


def refuse_unanswered(warm_up: Sequence[RequestTiming]) -> None:
    """Raise when not one token came. An answer that breaks off later is the measured level's to count."""
    errors = [timing.error for timing in warm_up if timing.error is not None]
    if errors and not any(timing.token_ns for timing in warm_up):
        raise _Unanswered(errors[0])


def counted(requests: tuple[LoadRequest, ...], warmed: Sequence[RequestTiming]) -> tuple[LoadRequest, ...]:
    """The same requests; they ask for a running usage where one that warmed up came without token ids.

    One of the two must tell how many tokens each event carries. Usage makes every event longer, so it is
    asked for only where there are no ids.
    """
    if all(timing.error is not None or timing.counted_by == "ids" for timing in warmed):
        return requests
    return with_running_usage(requests)


def with_running_usage(requests: tuple[LoadRequest, ...]) -> tuple[LoadRequest, ...]:
    """The same requests, which ask for a running usage: it counts tokens where no ids do."""
    return tuple(replace(request, body={**request.body, **_RUNNING_USAGE}) for request in requests)


async def _round_trips(client: VllmClient) -> tuple[float, ...]:
    """Round trips in ms; none where they fail: they are information, and no figure depends on them."""
    try:
        return await round_trip_ms(target_of(client))
    except RequestError:
        return ()


def target_of(client: VllmClient) -> LoadTarget:
    """The server of a client, reached as the client reaches it."""
    return LoadTarget(client.endpoint, client.timeouts, client.ca_bundle, client.trust_env, client.role)


def _cut(requests: tuple[LoadRequest, ...]) -> tuple[LoadRequest, ...]:
    """The same requests for fewer tokens."""
    return tuple(
        replace(request, body={**request.body, **_fewer(request.body["max_tokens"])}) for request in requests
    )


def _fewer(max_tokens: int) -> dict[str, int]:
    tokens = min(max_tokens, WARM_UP_TOKENS)
    return {"max_tokens": tokens, "min_tokens": tokens}
