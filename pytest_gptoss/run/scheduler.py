"""Carries scenarios out: the only place that runs an event loop and talks to devices.

Devices are measured side by side, the scenarios of one device one after the other. A load level runs alone,
while nothing else is asked of any device; so does a round that all devices are measured in at the same time.
Whatever ends the measuring early (Ctrl-C, a dead server), the items that came stay in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any

from pytest_gptoss.client.event_loop import run_async, together
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.load import Drive
from pytest_gptoss.model.errors import MeasurementError, RequestError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.model.subjects import Device, ServerIdentity
from pytest_gptoss.run.interruption import interrupted, interruption
from pytest_gptoss.run.progress import Progress
from pytest_gptoss.run.rounds import Part, measure_round
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.identity import Watch, provenance_of
from pytest_gptoss.scenarios.job import Alone, Job, Setup
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.state_recovery import Recovery
from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Runner"]

MAX_FAILURES_IN_A_ROW = 3
"""A device that fails so often without one success between is given up for the scenario."""


class Runner:
    """Measures scenarios on probed devices and keeps the results in the store.

    ``client`` makes an unopened client for a device; ``hidden_client`` the one that serves its
    hidden states, which may be another server. ``seen`` keeps who answered last, between runners: each
    server is asked who it is before and after every scenario, outside load. ``drive`` puts the load of
    levels, None: this process does. ``fleet`` bounds the requests in flight over all devices.
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
        recovery: Recovery | None = None,
        drive: Drive | None = None,
        fleet: FleetTask | None = None,
    ) -> None:
        self._devices = devices
        self._client = client
        self._hidden_client = hidden_client
        self._setup = Setup(workload, devices, self._stored, recovery, drive, fleet)
        self._fleet = fleet
        self._slots: AbstractAsyncContextManager[object] = nullcontext()
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
        alone = [scenario for scenario in scenarios if scenario.runs_alone]
        rounds: dict[Scenario, list[Scenario]] = {}
        for scenario in scenarios:
            if scenario.runs_together:
                rounds.setdefault(replace(scenario, device=""), []).append(scenario)
            elif not scenario.runs_alone:
                by_device.setdefault(scenario.device, []).append(scenario)
        if by_device:
            side_by_side = (each for group in by_device.values() for each in group)
            self._progress.start({each.title: each.size(self._setup) for each in side_by_side})
            try:
                run_async(self._measure_devices(by_device))
            except BaseException as error:
                # The tasks were cancelled, and do not know why.
                self._tell_what_interrupted(error)
                raise
        for group in rounds.values():
            self._measure_round(group)
        for scenario in alone:
            self._measure_alone(scenario)

    def _tell_what_interrupted(self, error: BaseException) -> None:
        for scenario_id in self._under_way:
            measurement = self._store.load(scenario_id)
            if measurement is not None:
                self._store.save(interrupted(measurement, error))

    def _measure_alone(self, scenario: Scenario) -> None:
        self._progress.start({scenario.title: scenario.size(self._setup)})
        started = _now()
        job = scenario.job_alone(
            self._setup,
            Alone(
                make_client=lambda: self._client(scenario.device),
                on_end=lambda: self._progress.step(scenario.title),
            ),
        )
        failures: tuple[Failure, ...] = ()
        complete = False
        before = run_async(self._look_at(scenario.device))
        after: tuple[ServerIdentity, ...] = ()
        asked = not job.left_out
        try:
            if asked:
                job.measure()
            complete = True
            if asked:
                after = run_async(self._look_at(scenario.device))
        except RequestError as error:
            told = say("{where}: {error}", where=scenario.title, error=error)
            failures = (Failure("*", error.kind, told),)
        except BaseException as error:
            if not complete:
                failures = (interruption(scenario.device, error),)
            raise
        finally:
            self._store.save(
                Measurement(
                    scenario_id=scenario.id,
                    device=scenario.device,
                    items=job.items,
                    failures=failures,
                    left_out=job.left_out,
                    complete=complete,
                    started=started,
                    ended=_now(),
                    provenance={**self._provenance(scenario), **provenance_of(before=before, after=after)},
                )
            )

    def _measure_round(self, scenarios: Sequence[Scenario]) -> None:
        """Measure a round on all its devices; each device's part is saved, however it ended."""
        parts = [self._part(each) for each in scenarios]
        self._progress.start({part.job.title: part.scenario.size(self._setup) for part in parts})
        started = _now()
        interrupted_by: BaseException | None = None
        most = len(parts) if self._fleet is None else self._fleet.in_flight
        at_once = max(1, most // max(part.job.in_flight for part in parts))
        try:
            run_async(measure_round(parts, self._look_at, at_once=at_once), fast=True)
        except BaseException as error:
            interrupted_by = error
            raise
        finally:
            for part in parts:
                self._save_part(part, started, interrupted_by)

    def _part(self, scenario: Scenario) -> Part:
        alone = Alone(
            make_client=lambda: self._client(scenario.device), on_end=lambda: self._progress.step(job.title)
        )
        job = scenario.job_together(self._setup, alone)
        return Part(scenario, job)

    def _save_part(self, part: Part, started: str, interrupted_by: BaseException | None) -> None:
        failures = part.failures
        if interrupted_by is not None and not (part.complete or failures):
            failures = (interruption(part.scenario.device, interrupted_by),)
        seen = provenance_of(before=part.before, after=part.after)
        self._store.save(
            Measurement(
                scenario_id=part.scenario.id,
                device=part.scenario.device,
                items=part.job.items,
                failures=failures,
                complete=part.complete,
                started=started,
                ended=_now(),
                provenance={**self._provenance(part.scenario), **seen},
            )
        )

    async def _look_at(self, name: str) -> tuple[ServerIdentity, ...]:
        async with self._client(name) as client:
            return await self._watch(client, name).look()

    def _watch(self, client: VllmClient, name: str) -> Watch:
        return Watch(client, self._seen, key=f"{name} {client.endpoint.root}")

    async def _measure_devices(self, by_device: Mapping[str, Sequence[Scenario]]) -> None:
        if self._fleet is not None:
            self._slots = asyncio.Semaphore(self._fleet.in_flight)
        tasks = [asyncio.ensure_future(self._measure_device(each)) for each in by_device.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _measure_device(self, scenarios: Sequence[Scenario]) -> None:
        for scenario in scenarios:
            make = self._hidden_client if scenario.hidden_source else self._client
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
                    async with self._slots:
                        results[item_id] = await ask()
                    in_a_row = 0
                except RequestError as error:
                    failures[item_id] = Failure(item_id, error.kind, str(error))
                    in_a_row += 1
                self._progress.step(label)
                if in_a_row >= MAX_FAILURES_IN_A_ROW:
                    return

        await together([work() for _ in range(job.concurrency)])
        return in_a_row < MAX_FAILURES_IN_A_ROW

    def _job(self, scenario: Scenario, client: VllmClient) -> Job:
        if scenario.measured_while_probing:
            raise MeasurementError(say("{id} is measured while devices are probed, not here", id=scenario.id))
        return scenario.job(self._setup, client)

    def _stored(self, scenario: Scenario) -> Measurement[Any]:
        measurement = self._store.load(scenario.id)
        if measurement is None:
            raise MeasurementError(
                say("{id} was not measured, and another scenario rests on it", id=scenario.id)
            )
        return measurement

    def _provenance(self, scenario: Scenario) -> dict[str, Any]:
        device, workload = self._devices[scenario.device], self._setup.workload
        notes = device.capabilities.notes
        return {
            "server_version": device.server_version,
            "model": device.model,
            **({"lacks": dict(notes)} if notes else {}),
            "scenario": asdict(scenario),
            **workload.facts(),
            **scenario.provenance(workload),
        }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
