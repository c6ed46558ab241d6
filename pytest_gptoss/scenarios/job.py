"""What is sent to measure a scenario, and what it is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.message import say
from pytest_gptoss.scenarios.workload import Workload

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.client.load import Drive
    from pytest_gptoss.model.inputs import Prompt
    from pytest_gptoss.model.results import Measurement
    from pytest_gptoss.model.subjects import Device
    from pytest_gptoss.scenarios.scenario import Scenario
    from pytest_gptoss.scenarios.state_recovery import Recovery

__all__ = ["Alone", "Ask", "Job", "JobAlone", "JobTogether", "Setup", "bind"]

Ask: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
"""Sends one request and returns its item; raises RequestError."""


@dataclass(frozen=True)
class Setup:
    """What a scenario is measured with: the run's inputs, the probed devices, and what is stored already.

    ``stored`` raises MeasurementError where a scenario was not measured. ``recovery``: whose hidden states
    are recovered from log-probabilities, and how; None where nobody's are. ``drive`` puts the load of a
    level, None: this process does. ``fleet``: the devices under test are its nodes.
    """

    workload: Workload
    devices: Mapping[str, Device]
    stored: Callable[[Scenario], Measurement[Any]]
    recovery: Recovery | None = None
    drive: Drive | None = None
    fleet: FleetTask | None = None

    def ids_to_send(
        self, rendered: Scenario, prompts: Sequence[Prompt]
    ) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, str]]:
        """Stored prompt ids of ``rendered``, by prompt; and why the other ``prompts`` have none."""
        items = self.stored(rendered).items
        ids = {item.prompt_id: item.prompt_token_ids for item in items if item.prompt_token_ids}
        reason = say("{device} did not tell its prompt ids", device=rendered.device)
        return ids, {prompt.id: reason for prompt in prompts if prompt.id not in ids}


@dataclass(frozen=True)
class Job:
    """The requests of one scenario: (item id, how to ask), and what was left out by design, with reasons."""

    asks: tuple[tuple[str, Ask], ...]
    concurrency: int = 1
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alone:
    """What a scenario that runs alone is given: unopened clients, and whom to tell of each step."""

    make_client: Callable[[], VllmClient]
    on_end: Callable[[], None]


class JobAlone(Protocol):
    """How to measure a scenario while nothing else is asked of any device."""

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why it is not asked at all, by what is left out; empty when it is asked."""

    @property
    def items(self) -> tuple[Any, ...]:
        """What there is so far, also after an interruption; empty when it is left out."""

    def measure(self) -> None:
        """Measure it, in an event loop of its own; raises RequestError when it cannot be begun."""


class JobTogether(Protocol):
    """One device's part of what is measured on several at the same time."""

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""

    @property
    def in_flight(self) -> int:
        """Requests in flight on the device."""

    @property
    def items(self) -> tuple[Any, ...]:
        """What there is so far, also after an interruption."""

    async def prepare(self) -> None:
        """Make the device ready; raises RequestError."""

    async def measure(self, begin: Callable[[], Awaitable[int]]) -> None:
        """Measure it; raises RequestError. ``begin`` gives the moment at which all begin, in monotonic ns."""


def bind(ask: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Ask:
    """The same call, to be made later: nothing is sent before."""
    return lambda: ask(*args, **kwargs)
