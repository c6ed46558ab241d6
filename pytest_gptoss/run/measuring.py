"""Measures what is missing: what a scenario depends on first, load levels next, all else last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.run.devices import RunDevices
from pytest_gptoss.run.hidden_source import without_server
from pytest_gptoss.run.load_order import LoadOrder
from pytest_gptoss.run.progress import Progress
from pytest_gptoss.run.scheduler import Runner
from pytest_gptoss.run.stopwatch import Stopwatch
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load, Scenario
from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Measured", "Measuring"]

Measured: TypeAlias = dict[str, Measurement[Any]]
"""Measurements by the names that a metric calls them by."""


class Measuring:
    """Returns measurements, each made once for all processes that share the store.

    ``replay``: nothing is asked of any device. ``fleet`` bounds the requests in flight. ``stopwatch`` counts
    the time that measuring takes, or the wait for another process that measures.
    """

    def __init__(
        self,
        devices: RunDevices,
        store: Store,
        workload: Workload,
        load_order: LoadOrder,
        *,
        replay: bool,
        stopwatch: Stopwatch,
        tell: Callable[[str], None],
        fleet: FleetTask | None = None,
    ) -> None:
        self._devices = devices
        self._store = store
        self._workload = workload
        self._load_order = load_order
        self._replay = replay
        self._fleet = fleet
        self._stopwatch = stopwatch
        self._tell = tell
        self._seen: dict[str, ServerIdentity] = {}

    def measure(self, *scenarios: Scenario) -> tuple[Measurement[Any], ...]:
        """The measurements of these scenarios, made now if they were not before.

        Raises MeasurementError when a device cannot be measured at all.
        """
        with self._stopwatch, self._store.lock():
            self._ensure(scenarios)
        return tuple(self._stored(scenario) for scenario in scenarios)

    def measure_fleet(
        self, needs: Mapping[str, Scenario], others: Mapping[str, Mapping[str, Scenario]]
    ) -> tuple[Measured, dict[str, Measured]]:
        """What is needed of one node, and of the ``others`` by their names, all measured side by side.

        Other nodes that cannot be measured are left out. Raises MeasurementError as ``measure`` does.
        """
        with self._stopwatch, self._store.lock():
            self._devices.probed()
            able = {name: each for name, each in others.items() if self._can_be_had(each.values())}
            self._ensure(
                [*needs.values(), *(scenario for each in able.values() for scenario in each.values())]
            )
        return self._all_stored(needs), {name: self._all_stored(each) for name, each in able.items()}

    def _can_be_had(self, scenarios: Iterable[Scenario]) -> bool:
        """Whether all is stored or can be measured."""
        try:
            for scenario in scenarios:
                if self._store.load(scenario.id) is None:
                    self._refuse_unmeasurable(scenario)
        except MeasurementError:
            return False
        return True

    def _all_stored(self, needs: Mapping[str, Scenario]) -> Measured:
        return {name: self._stored(each) for name, each in needs.items()}

    def _ensure(self, scenarios: Iterable[Scenario]) -> None:
        self._devices.probed()  # the preflight is measured there
        missing = self._missing(scenarios)
        if not missing:
            return
        for scenario in missing:
            self._refuse_unmeasurable(scenario)
        self._ensure(earlier for scenario in missing for earlier in scenario.depends_on)
        missing = self._missing(missing)  # some follow from what they depend on
        levels = [each for each in missing if isinstance(each, Load)]
        due = self._load_order.due(levels, self._devices.reachable())
        if due:
            self._runner().measure(due)
        others = [each for each in missing if not isinstance(each, Load)]
        for_servers = [each for each in others if not self._had_without_server(each)]
        for group in self._devices.by_turn(for_servers):
            self._runner().measure(group)

    def _missing(self, scenarios: Iterable[Scenario]) -> list[Scenario]:
        """Scenarios that are not in the store; what follows from others that are is put there first."""
        return [
            each
            for each in dict.fromkeys(scenarios)
            if self._store.load(each.id) is None and not self._follows(each)
        ]

    def _follows(self, scenario: Scenario) -> bool:
        """Keep what stored measurements tell of it; False where they do not, or a server must be asked."""
        loaded = {each.id: self._store.load(each.id) for each in scenario.depends_on}
        stored = {name: each for name, each in loaded.items() if each is not None}
        if not stored:
            return False
        may_ask = not self._replay and not self._devices.settings_of(scenario.device).recorded
        return self._keep(scenario.follows(stored, self._workload, may_ask=may_ask))

    def _had_without_server(self, scenario: Scenario) -> bool:
        """Keep hidden states from a file, or why there are none; False where a server must be asked."""
        if not scenario.hidden_source:
            return False
        device, settings = self._devices.device(scenario.device), self._devices.settings_of(scenario.device)
        recovery = self._devices.recovery()
        recovered = recovery is not None and device.name in recovery.devices
        found = without_server(scenario, device, settings, self._workload.corpus_sha256, recovered=recovered)
        return self._keep(found)

    def _keep(self, found: Measurement[Any] | None) -> bool:
        if found is not None:
            self._store.save(found)
        return found is not None

    def _stored(self, scenario: Scenario) -> Measurement[Any]:
        measurement = self._store.load(scenario.id)
        if measurement is None:
            raise MeasurementError(say("{id} was not measured", id=scenario.id))
        return measurement

    def _refuse_unmeasurable(self, scenario: Scenario) -> None:
        if self._replay:
            raise MeasurementError(
                say("the replayed run did not measure {id}: measure it in a new run", id=scenario.id)
            )
        if not scenario.measured_while_probing:
            self._devices.device(scenario.device)
        unknown = scenario.unknown_input(self._workload)
        if unknown is not None:
            raise MeasurementError(unknown)
        settings = self._devices.settings_of(scenario.device)
        if settings.recorded and not (scenario.hidden_source and settings.hidden is not None):
            raise MeasurementError(
                say(
                    "the recorded baseline holds no {id}: record it again with the tests selected now",
                    id=scenario.id,
                )
            )

    def _runner(self) -> Runner:
        devices = self._devices.answering()
        return Runner(
            devices=devices,
            client=lambda name: self._devices.client(devices[name]),
            hidden_client=lambda name: self._devices.hidden_client(devices[name]),
            workload=self._workload,
            store=self._store,
            progress=Progress(self._tell),
            seen=self._seen,
            recovery=self._devices.recovery(),
            drive=self._load_order.drive,
            fleet=self._fleet,
        )
