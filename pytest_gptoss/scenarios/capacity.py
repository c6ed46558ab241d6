"""The highest rate that a device sustains under a service level: one open loop after the other."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.load import Drive, LoadJob, LoadRequest, run_load
from pytest_gptoss.model.arrivals import Arrivals
from pytest_gptoss.model.capacity import CapacityProbe, CapacityTask
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, RequestTiming
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.arrival_times import arrival_times
from pytest_gptoss.scenarios.capacity_search import next_rate
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.load_level import target_of, why_too_long
from pytest_gptoss.scenarios.load_prompts import LoadPrompts, load_prompts
from pytest_gptoss.scenarios.probe_record import ProbeRecord

__all__ = ["CapacityRun"]

PROMPTS = 1000
"""Prompts that differ: longer probes repeat them, each request with a cache salt of its own."""
WARM_UP = 4
"""Requests before each probe; one of them must be answered, or the search ends."""
CONNECTIONS = 8


@dataclass
class CapacityRun:
    """Measures capacity. ``items``: the probes so far, also after an interruption.

    ``drive`` puts the load of a probe, None: this process does.
    """

    device: Device
    task: CapacityTask
    alone: Alone
    drive: Drive | None = None
    items: tuple[CapacityProbe, ...] = ()
    _name: str = field(default_factory=lambda: f"gptoss-{secrets.token_hex(4)}-capacity")

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why the device cannot be asked at all; empty when it can."""
        context = self.device.max_model_len
        reason = why_too_long(self._shape, device=self.device.name, context=context)
        return {} if reason is None else {"capacity": reason}

    @property
    def _shape(self) -> LoadShape:
        task = self.task
        return LoadShape(WARM_UP, PROMPTS, task.prompt_tokens, task.max_tokens, task.endpoint)

    def measure(self) -> None:
        """Probe rate after rate until the capacity is known.

        Raises RequestError when the device answers none of the requests that stand before a probe.
        """
        prompts = run_async(self._prompts())
        while (rate := next_rate(self.items, self.task)) is not None:
            number = len(self.items)
            self._warm_up(prompts, f"{self._name}-{number}-warm")
            self.items = (*self.items, self._probe(prompts, rate, number))
            self.alone.on_end()

    async def _prompts(self) -> LoadPrompts:
        async with self.alone.make_client() as client:
            return await load_prompts(client, self._shape, able=self.device.capabilities, count=PROMPTS)

    def _warm_up(self, prompts: LoadPrompts, name: str) -> None:
        requests = prompts.requests(name, model=self.device.model, first=0, last=WARM_UP)
        job = LoadJob(target_of(self.alone.make_client()), requests, WARM_UP)
        answered = run_load(job, on_end=lambda _: None).requests
        errors = [each.error for each in answered if each.error is not None]
        if errors and len(errors) == len(answered):
            raise _Unanswered(errors[0])

    def _probe(self, prompts: LoadPrompts, rate: float, number: int) -> CapacityProbe:
        due_ns = _due_times(self.task, rate, number)
        requests = _repeated(prompts, f"{self._name}-{number}", self.device.model, len(due_ns))
        places = {each.id: place for place, each in enumerate(requests)}
        record = ProbeRecord(self.task, rate, due_ns)

        def on_end(timing: RequestTiming) -> None:
            record.add(places[timing.id], timing)

        job = LoadJob(
            target_of(self.alone.make_client()),
            requests,
            min(CONNECTIONS, len(requests)),
            due_ns=due_ns,
            stop=lambda: record.decided,
        )
        (self.drive or run_load)(job, on_end=on_end)
        return record.result()


def _due_times(task: CapacityTask, rate: float, number: int) -> list[int]:
    """When the requests of a probe are due, in ns from its beginning; at least one, at its end."""
    arrivals = Arrivals(rate, seed=task.seed)
    due = arrival_times(arrivals, duration_s=task.probe_s, trial=number)
    return due or [round(task.probe_s * 1e9)]


def _repeated(prompts: LoadPrompts, name: str, model: str | None, count: int) -> tuple[LoadRequest, ...]:
    """So many requests, the prompts again and again."""
    found: list[LoadRequest] = []
    while len(found) < count:
        batch = prompts.requests(name, model=model, first=0, last=min(PROMPTS, count - len(found)))
        found += (
            replace(each, id=f"{name}-{place:06d}") for place, each in enumerate(batch, start=len(found))
        )
    return tuple(found)


class _Unanswered(RequestError):
    """No request before a probe was answered; ``kind`` is the first one's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(
            say("no request that warms the server up was answered, first {message}", message=failure.message)
        )
        self.kind = failure.kind
