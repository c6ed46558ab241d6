"""Carries scenarios out: the only place that runs an event loop and talks to devices.

Devices are measured side by side, the scenarios of one device one after the other; a load level runs
alone, while nothing else is asked of any device. Whatever ends the measuring early (Ctrl-C, a dead
server), the items that came stay in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import MeasurementError, RequestError
from pytest_gptoss.model.inputs import Prompt
from pytest_gptoss.model.results import Failure, Generation, Measurement
from pytest_gptoss.model.subjects import Device, ServerIdentity
from pytest_gptoss.run.interruption import interrupted, interruption
from pytest_gptoss.run.progress import Progress
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.drift import DriftPoints, positions, why_not_asked
from pytest_gptoss.scenarios.features import TOOL_SCHEMAS, FeatureTrial, item_ids
from pytest_gptoss.scenarios.identity import Watch, provenance_of
from pytest_gptoss.scenarios.kinds import (
    Drift,
    Feature,
    Forced,
    Greedy,
    Hidden,
    Load,
    Needle,
    Preflight,
    Rendered,
    Scenario,
)
from pytest_gptoss.scenarios.load_level import LevelRun, why_too_long
from pytest_gptoss.scenarios.needle_trial import NeedleTrials, why_left_out
from pytest_gptoss.scenarios.rendering import told_by
from pytest_gptoss.scenarios.sequences import Sequences, corpus_sequences, output_sequences
from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Runner"]

Ask = Callable[[], Coroutine[Any, Any, Any]]

MAX_FAILURES_IN_A_ROW = 3
"""A device that fails so often without one success between is given up for the scenario."""


@dataclass(frozen=True)
class Job:
    """The requests of one scenario: (item id, how to ask), and what was left out by design."""

    asks: tuple[tuple[str, Ask], ...]
    concurrency: int = 1
    left_out: Mapping[str, str] = field(default_factory=dict)


class Runner:
    """Measures scenarios on probed devices and keeps the results in the store.

    ``client`` makes an unopened client for a device; ``hidden_client`` the one that serves its
    hidden states, which may be another server. ``seen`` keeps who answered last, between runners: each
    server is asked who it is before and after every scenario, outside load.
    """

    def __init__(
        self,
        *,
        devices: Mapping[str, Device],
        client: Callable[[str], VllmClient],
        hidden_client: Callable[[str], VllmClient],
        workload: Workload,
        store: Store,
        progress: Progress,
        seen: MutableMapping[str, ServerIdentity] | None = None,
    ) -> None:
        self._devices = devices
        self._client = client
        self._hidden_client = hidden_client
        self._workload = workload
        self._store = store
        self._progress = progress
        self._seen: MutableMapping[str, ServerIdentity] = {} if seen is None else seen
        self._under_way: set[str] = set()
        """Ids of the scenarios that were begun and have not come to their end."""

    def measure(self, scenarios: Sequence[Scenario]) -> None:
        """Measure every scenario and save each as it ends. Scenarios they rest on must be stored.

        Raises KeyboardInterrupt after saving what was measured; a failed request is no exception
        but a Failure in the measurement.
        """
        by_device: dict[str, list[Scenario]] = {}
        levels: list[Load] = []
        for scenario in scenarios:
            if isinstance(scenario, Load):
                levels.append(scenario)
            else:
                by_device.setdefault(scenario.device, []).append(scenario)
        if by_device:
            side_by_side = (each for group in by_device.values() for each in group)
            self._progress.start({scenario.title: self._size(scenario) for scenario in side_by_side})
            try:
                run_async(self._measure_devices(by_device))
            except BaseException as error:
                # The tasks were cancelled, and do not know why.
                self._tell_what_interrupted(error)
                raise
        for level in levels:
            self._measure_level(level)

    def _tell_what_interrupted(self, error: BaseException) -> None:
        for scenario_id in self._under_way:
            measurement = self._store.load(scenario_id)
            if measurement is not None:
                self._store.save(interrupted(measurement, error))

    def _measure_level(self, scenario: Load) -> None:
        shape, device = self._workload.levels[scenario.concurrency], self._devices[scenario.device]
        self._progress.start({scenario.title: shape.requests})
        started = _now()
        run = LevelRun(
            scenario,
            shape,
            device,
            make_client=lambda: self._client(scenario.device),
            on_end=lambda: self._progress.step(scenario.title),
        )
        reason = why_too_long(shape, device=device.name, context=device.max_model_len)
        failures: tuple[Failure, ...] = ()
        complete = False
        before = run_async(self._look_at(scenario.device))
        after: tuple[ServerIdentity, ...] = ()
        try:
            if reason is None:
                run.measure()
            complete = True
            if reason is None:
                after = run_async(self._look_at(scenario.device))
        except RequestError as error:
            failures = (Failure("*", error.kind, f"{scenario.title}: {error}"),)
        except BaseException as error:
            if not complete:
                failures = (interruption(scenario.device, error),)
            raise
        finally:
            self._store.save(
                Measurement(
                    scenario_id=scenario.id,
                    device=scenario.device,
                    items=() if reason else (run.level,),
                    failures=failures,
                    left_out={} if reason is None else {scenario.level: reason},
                    complete=complete,
                    started=started,
                    ended=_now(),
                    provenance={**self._provenance(scenario), **provenance_of(before=before, after=after)},
                )
            )

    async def _look_at(self, name: str) -> tuple[ServerIdentity, ...]:
        async with self._client(name) as client:
            return await self._watch(client, name).look()

    def _watch(self, client: VllmClient, name: str) -> Watch:
        return Watch(client, self._seen, key=f"{name} {client.endpoint.root}")

    async def _measure_devices(self, by_device: Mapping[str, Sequence[Scenario]]) -> None:
        tasks = [asyncio.ensure_future(self._measure_device(each)) for each in by_device.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _measure_device(self, scenarios: Sequence[Scenario]) -> None:
        for scenario in scenarios:
            make = self._hidden_client if isinstance(scenario, Hidden) else self._client
            async with make(scenario.device) as client:
                await self._measure_scenario(scenario, client)

    async def _measure_scenario(self, scenario: Scenario, client: VllmClient) -> None:
        job = self._job(scenario, client)
        watch, own = self._watch(client, scenario.device), self._devices[scenario.device].url
        before = await watch.look() if job.asks else ()
        after: tuple[ServerIdentity, ...] = ()
        place = None if client.endpoint.root == own else client.endpoint.root
        started = _now()
        results: dict[str, Any] = {}
        failures: dict[str, Failure] = {}
        finished = False
        self._under_way.add(scenario.id)
        try:
            finished = await self._ask_all(scenario.title, job, results, failures)
            self._under_way.discard(scenario.id)
            after = await watch.look() if job.asks else ()
        finally:
            order = [item_id for item_id, _ in job.asks]
            self._store.save(
                Measurement(
                    scenario_id=scenario.id,
                    device=scenario.device,
                    items=tuple(results[item_id] for item_id in order if item_id in results),
                    failures=tuple(failures[item_id] for item_id in order if item_id in failures),
                    left_out=job.left_out,
                    complete=finished,
                    started=started,
                    ended=_now(),
                    provenance={
                        **self._provenance(scenario),
                        **provenance_of(before=before, after=after, place=place),
                    },
                )
            )

    async def _ask_all(
        self, label: str, job: Job, results: dict[str, Any], failures: dict[str, Failure]
    ) -> bool:
        """Ask for every item, ``job.concurrency`` at a time; False when the device was given up."""
        waiting = iter(job.asks)
        in_a_row = 0

        async def work() -> None:
            nonlocal in_a_row
            for item_id, ask in waiting:
                try:
                    results[item_id] = await ask()
                    in_a_row = 0
                except RequestError as error:
                    failures[item_id] = Failure(item_id, error.kind, str(error))
                    in_a_row += 1
                self._progress.step(label)
                if in_a_row >= MAX_FAILURES_IN_A_ROW:
                    return

        await _together([work() for _ in range(job.concurrency)])
        return in_a_row < MAX_FAILURES_IN_A_ROW

    def _job(self, scenario: Scenario, client: VllmClient) -> Job:
        if isinstance(scenario, Greedy):
            return self._greedy(scenario, client)
        if isinstance(scenario, Rendered):
            return self._rendered(scenario, client)
        if isinstance(scenario, Needle):
            return self._needle(scenario, client)
        if isinstance(scenario, Load):
            raise TypeError("a load level is no job of single requests")
        if isinstance(scenario, Feature):
            return self._feature(scenario, client)
        if isinstance(scenario, Preflight):
            raise MeasurementError(f"{scenario.id} is measured while devices are probed, not here")
        if isinstance(scenario, Drift):
            return self._drift(scenario, client)
        sequences = self._sequences(scenario)
        if isinstance(scenario, Forced):
            top = self._workload.top_logprobs
            asks = tuple((each.id, _bind(client.score, each, top=top)) for each in sequences.kept)
        else:
            asks = tuple((each.id, _bind(client.hidden, each.token_ids, each.id)) for each in sequences.kept)
        return Job(asks, left_out=sequences.left_out)

    def _greedy(self, scenario: Greedy, client: VllmClient) -> Job:
        workload = self._workload
        prompts = workload.prompt_sets[scenario.prompts].prompts[: scenario.limit]
        top = workload.top_logprobs if self._devices[scenario.device].capabilities.logprobs else None
        if scenario.prompt_ids_of is None:
            asks = tuple(
                (prompt.id, _bind(client.chat, prompt, max_tokens=self._budget(prompt), top_logprobs=top))
                for prompt in prompts
            )
            return Job(asks, scenario.concurrency)
        ids, missing = self._ids_to_send(scenario.prompt_ids_of, scenario.prompts, prompts)
        asks = tuple(
            (
                prompt.id,
                _bind(
                    client.complete,
                    ids[prompt.id],
                    prompt_id=prompt.id,
                    max_tokens=self._budget(prompt),
                    top_logprobs=top,
                ),
            )
            for prompt in prompts
            if prompt.id not in missing
        )
        return Job(asks, scenario.concurrency, missing)

    def _ids_to_send(
        self, device: str, name: str, prompts: Sequence[Prompt]
    ) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, str]]:
        """Prompt ids that ``device`` has rendered, by prompt; and why those of the others are not known."""
        rendered = self._stored(Rendered(device, name))
        ids = {item.prompt_id: item.prompt_token_ids for item in rendered.items if item.prompt_token_ids}
        missing = {
            prompt.id: f"{device} did not tell its prompt ids" for prompt in prompts if prompt.id not in ids
        }
        return ids, missing

    def _rendered(self, scenario: Rendered, client: VllmClient) -> Job:
        prompts = self._workload.prompt_sets[scenario.prompts].prompts
        answers = scenario.answers
        told = {} if answers is None else told_by(self._stored(answers))
        # What is told stands first: it must not be lost when the device is given up among the others.
        known: list[tuple[str, Ask]] = [(each, _bind(_at_once, told[each])) for each in told]
        others = [prompt for prompt in prompts if prompt.id not in told]
        if answers is None or answers.prompt_ids_of is None:
            return Job((*known, *((prompt.id, _bind(client.render, prompt)) for prompt in others)))
        ids, missing = self._ids_to_send(answers.prompt_ids_of, scenario.prompts, others)
        asks = (
            (each.id, _bind(client.render_ids, ids[each.id], prompt_id=each.id))
            for each in others
            if each.id in ids
        )
        return Job((*known, *asks), left_out=missing)

    def _needle(self, scenario: Needle, client: VllmClient) -> Job:
        device, task = self._devices[scenario.device], self._workload.needle
        reason = why_left_out(scenario, task, context=device.max_model_len)
        ids = [f"trial-{trial}" for trial in range(task.trials)]
        if reason is not None:
            return Job((), left_out=dict.fromkeys(ids, reason))
        trials = NeedleTrials(client, able=device.capabilities, task=task)
        return Job(tuple((item_id, _bind(trials.ask, scenario, trial)) for trial, item_id in enumerate(ids)))

    def _feature(self, scenario: Feature, client: VllmClient) -> Job:
        prompts = self._workload.prompt_sets["features"]
        if scenario.feature == "abort" and not self._devices[scenario.device].capabilities.metrics:
            note = self._devices[scenario.device].capabilities.notes.get("metrics")
            reason = (
                f"{scenario.device} has no /metrics with vllm's counters, so its running requests cannot be "
                f"seen{': when probed: ' + note if note else ''}"
            )
            return Job((), left_out={"abort": reason})
        trial = FeatureTrial(
            scenario,
            client,
            prompts,
            max_tokens=self._workload.max_tokens,
            context=self._devices[scenario.device].max_model_len,
        )
        ids = item_ids(scenario.feature, prompts)
        return Job(tuple((item_id, _bind(trial.ask, item_id)) for item_id in ids), trial.concurrency)

    def _drift(self, scenario: Drift, client: VllmClient) -> Job:
        device, task = self._devices[scenario.device], self._workload.needle
        points = DriftPoints(client, task=task, length=scenario.length, top=self._workload.top_logprobs)
        asks: list[tuple[str, Ask]] = []
        left_out: dict[str, str] = {}
        for spot, position in positions(scenario):
            reason = why_not_asked(
                spot,
                device=device.name,
                able=device.capabilities,
                task=task,
                context=device.max_model_len,
            )
            item_id = f"token-{position}"
            if reason is None:
                asks.append((item_id, _bind(points.ask, spot, position)))
            else:
                left_out[item_id] = reason
        return Job(tuple(asks), left_out=left_out)

    def _budget(self, prompt: Prompt) -> int:
        return prompt.max_tokens or self._workload.max_tokens

    def _sequences(self, scenario: Forced | Hidden) -> Sequences:
        context = self._devices[scenario.device].max_model_len
        if isinstance(scenario, Hidden):
            return corpus_sequences(self._workload.corpus, context=context)
        if scenario.outputs is None:
            return corpus_sequences(
                self._workload.corpus, context=context, longest=self._workload.max_scored_tokens
            )
        outputs: Measurement[Generation] = self._stored(scenario.outputs)
        return output_sequences(
            outputs.items, context=context, longest=self._workload.max_scored_tokens, limit=scenario.limit
        )

    def _size(self, scenario: Scenario) -> int:
        if isinstance(scenario, Greedy | Rendered):
            limit = scenario.limit if isinstance(scenario, Greedy) else None
            return len(self._workload.prompt_sets[scenario.prompts].prompts[:limit])
        if isinstance(scenario, Needle):
            return self._workload.needle.trials
        if isinstance(scenario, Load):
            return self._workload.levels[scenario.concurrency].requests
        if isinstance(scenario, Feature):
            return len(item_ids(scenario.feature, self._workload.prompt_sets["features"]))
        if isinstance(scenario, Preflight):
            return 1
        if isinstance(scenario, Drift):
            return len(positions(scenario))
        return len(self._sequences(scenario).kept)

    def _stored(self, scenario: Scenario) -> Measurement[Any]:
        measurement = self._store.load(scenario.id)
        if measurement is None:
            raise MeasurementError(f"{scenario.id} was not measured, and another scenario rests on it")
        return measurement

    def _provenance(self, scenario: Scenario) -> dict[str, Any]:
        device = self._devices[scenario.device]
        own: dict[str, Any] = {}
        if isinstance(scenario, Needle | Drift):
            own = {"needle": asdict(self._workload.needle)}
        if isinstance(scenario, Feature):
            own = {"schemas": dict(TOOL_SCHEMAS)}
        notes = device.capabilities.notes
        return {
            "server_version": device.server_version,
            "model": device.model,
            **({"lacks": dict(notes)} if notes else {}),
            "scenario": asdict(scenario),
            **self._workload.facts(),
            **own,
        }


async def _together(works: Sequence[Awaitable[None]]) -> None:
    """Await all; the first exception cancels the rest and is raised once they have ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _bind(ask: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Ask:
    return lambda: ask(*args, **kwargs)


async def _at_once(item: Any) -> Any:
    return item


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
