"""All that is needed of a managed device, measured while its server has its turn on the card."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.gates import gates
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.run.absent import absent_level, absent_part, lacks_baseline
from pytest_gptoss.run.devices import RunDevices
from pytest_gptoss.run.judging import Judging
from pytest_gptoss.run.measuring import Measuring
from pytest_gptoss.run.roles import roles_of
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load, Scenario

__all__ = ["Turns"]


class Turns:
    """Measures what the expected rows need of one device, row by row, as judging them would.

    What rests on another managed device that has not had its turn is left for later. So are rows whose
    preflight is known not to hold: nothing is sent for them.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        store: Store,
        *,
        devices: RunDevices,
        measuring: Measuring,
        judging: Judging,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._store = store
        self._devices = devices
        self._measuring = measuring
        self._judging = judging
        self._rows: tuple[tuple[str, str], ...] = ()

    def expect(self, rows: Iterable[tuple[str, str]]) -> None:
        """Learn the rows (npu, threshold id) that the run will be asked for, in their order."""
        self._rows = tuple(rows)

    def take(self, name: str) -> None:
        """Measure all that is needed of a device now; hidden states last, which may need another server."""
        for hidden in (False, True):
            for npu, row in self._rows:
                for scenario in self._needed(name, npu, self._plan.thresholds[row]):
                    if scenario.hidden_source == hidden and self._is_due(scenario, name):
                        with contextlib.suppress(MeasurementError):  # its row will say so
                            self._measuring.measure(scenario)

    def _needed(self, name: str, npu: str, threshold: Threshold) -> Iterator[Scenario]:
        """The scenarios of a device that a row needs, itself or for what is printed with it."""
        metric, roles = self._plan.metrics[threshold.metric], roles_of(self._settings, self._plan, npu)
        lacks = absent_part(metric, roles) or absent_level(metric, roles, self._plan.workload.levels)
        waived = threshold.id in (self._settings.waivers or {})
        if waived or lacks or lacks_baseline(metric, roles) or self._stopped(name, npu, threshold, metric):
            return
        info = (self._plan.metrics[each] for each in metric.info)
        for each in (metric, *(each for each in info if not lacks_baseline(each, roles))):
            for scenario in _with_what_it_rests_on(self._scenarios(each, roles)):
                if scenario.device == name:
                    yield scenario

    def _scenarios(self, metric: Metric, roles: Roles) -> Iterator[Scenario]:
        for scenario in metric.needs(roles).values():
            yield scenario
            if isinstance(scenario, Load) and self._settings.load.gpu:
                yield dataclasses.replace(scenario, device="gpu")

    def _stopped(self, name: str, npu: str, threshold: Threshold, metric: Metric) -> bool:
        """Whether a preflight row of the device itself that the row rests on is known not to hold."""
        return npu == name and any(self._fails(npu, gate) for gate in gates(threshold, metric))

    def _fails(self, npu: str, gate: str) -> bool:
        threshold = self._plan.thresholds.get(gate)
        if threshold is None:
            return False
        needs = self._plan.metrics[threshold.metric].needs(roles_of(self._settings, self._plan, npu))
        known = all(self._store.load(each.id) is not None for each in needs.values())
        return known and self._judging.verdict(npu, gate).status in ("FAIL", "INVALID")

    def _is_due(self, scenario: Scenario, name: str) -> bool:
        """Whether it was not measured, and can be while only this managed device runs."""
        if scenario.measured_while_probing or self._store.load(scenario.id) is not None:
            return False
        return not any(
            each.device != name
            and self._devices.is_managed(each.device)
            and self._store.load(each.id) is None
            for each in _with_what_it_rests_on([scenario])
        )


def _with_what_it_rests_on(scenarios: Iterable[Scenario]) -> Iterator[Scenario]:
    """Scenarios, each behind those whose results it uses."""
    for each in scenarios:
        yield from _with_what_it_rests_on(each.depends_on)
        yield each
