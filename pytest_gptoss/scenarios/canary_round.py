"""One node's part of a round of canaries: the server is warmed up, then the prompts are put on it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from pytest_gptoss.client.generation import chat_body
from pytest_gptoss.client.load import LoadJob, LoadRequest, run_closed_loop
from pytest_gptoss.model.inputs import LoadShape, Prompt
from pytest_gptoss.model.paths import CHAT_PATH
from pytest_gptoss.model.results import LoadLevel, RequestTiming
from pytest_gptoss.scenarios.context_budget import longest
from pytest_gptoss.scenarios.job import Alone, Setup
from pytest_gptoss.scenarios.kinds import Canaries
from pytest_gptoss.scenarios.kinds.canaries import canary_budget, canary_prompts, canary_tokens
from pytest_gptoss.scenarios.load_level import (
    FAILED_ROUNDS,
    WARM_UP_TOKENS,
    refuse_unanswered,
    target_of,
    with_running_usage,
)

__all__ = ["CanaryRun", "place_of"]


@dataclass
class CanaryRun:
    """Measures one round on one node. ``level`` holds what was measured so far."""

    scenario: Canaries
    setup: Setup
    alone: Alone
    level: LoadLevel = field(init=False)

    def __post_init__(self) -> None:
        self._prompts = canary_prompts(self.setup.workload, self.scenario.count)
        tokens = canary_tokens(self.setup.workload)
        shape = LoadShape(self.scenario.in_flight, len(self._prompts), longest(self._prompts), tokens)
        self.level = LoadLevel(shape, ())
        self._ended: dict[str, RequestTiming] = {}

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        fleet = self.setup.fleet
        return self.scenario.title if fleet is None else f"{self.scenario.title} of {fleet.repeats}"

    @property
    def in_flight(self) -> int:
        """Requests in flight on the node."""
        return self.scenario.in_flight

    @property
    def items(self) -> tuple[LoadLevel, ...]:
        """The round so far."""
        return (self.level,)

    async def prepare(self) -> None:
        """Warm the server up before the first round: a short request for each one that will be in flight.

        Raises RequestError when not one is answered.
        """
        if self.scenario.round:
            return
        count = self.scenario.in_flight if self.setup.fleet is None else self.setup.fleet.busy
        prompts = [self._prompts[place % len(self._prompts)] for place in range(count)]
        requests = self._requests(prompts, "warm", most=WARM_UP_TOKENS)
        run = await run_closed_loop(self._job(requests, count), on_end=lambda _: None)
        refuse_unanswered(run.requests)

    async def measure(self, begin: Callable[[], Awaitable[int]]) -> None:
        """Put the prompts on the server; ``begin`` gives the moment at which all nodes begin.

        Raises RequestError when no connection can be had.
        """
        requests = self._requests(self._prompts, f"r{self.scenario.round}", most=self.level.shape.max_tokens)
        if not self.setup.devices[self.scenario.device].capabilities.token_ids:
            requests = with_running_usage(requests)
        job = replace(self._job(requests, self.scenario.in_flight), begin=begin)
        try:
            run = await run_closed_loop(job, on_end=self._keep)
            self.level = replace(self.level, requests=run.requests, health=run.health)
        except BaseException:
            ended = (self._ended.get(each.id) for each in requests)
            self.level = replace(self.level, requests=tuple(each for each in ended if each is not None))
            raise

    def _keep(self, timing: RequestTiming) -> None:
        self._ended[timing.id] = timing
        self.alone.on_end()

    def _job(self, requests: tuple[LoadRequest, ...], concurrency: int) -> LoadJob:
        target = target_of(self.alone.make_client())
        return LoadJob(target, requests, concurrency, give_up_after=FAILED_ROUNDS * concurrency)

    def _requests(
        self, prompts: list[Prompt] | tuple[Prompt, ...], name: str, *, most: int
    ) -> tuple[LoadRequest, ...]:
        """A request a prompt, never answered from the prefix cache; its id ends in the prompt's place."""
        head = f"gptoss-{secrets.token_hex(4)}-{self.scenario.device}-{name}"
        model = self.setup.devices[self.scenario.device].model
        return tuple(
            LoadRequest(
                f"{head}-{place:04d}",
                CHAT_PATH,
                {
                    "model": model,
                    **chat_body(each.messages, max_tokens=canary_budget(each, most), top=None),
                    "cache_salt": secrets.token_hex(8),
                },
            )
            for place, each in enumerate(prompts)
        )


def place_of(request: RequestTiming) -> int:
    """The place of a request's prompt among the canaries."""
    return int(request.id.rpartition("-")[2])
