"""What a run knows by itself and a metric asks for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_gptoss.config.info import Info
from pytest_gptoss.config.plan import Plan
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.run.absent import absent_part, lacks_baseline
from pytest_gptoss.run.devices import RunDevices

__all__ = ["RunContext"]


class RunContext:
    """``stated``, ``labels`` and ``context_needed``; ``judge.metric.Metric`` says what each is."""

    def __init__(self, plan: Plan, info: Info, devices: RunDevices) -> None:
        self._plan = plan
        self._devices = devices
        self._selected: frozenset[tuple[str, str]] = frozenset()
        self._known: dict[str, Callable[[Roles], Json]] = {
            "stated": lambda _: info.of_devices,
            "labels": lambda _: self._labels(),
            "context_needed": self._context_needed,
        }

    def select(self, rows: Iterable[tuple[str, str]]) -> None:
        """Learn the rows (npu, threshold id) that the user asked for; none: any may be asked."""
        self._selected = frozenset(rows)

    def of(self, metric: Metric, roles: Roles) -> dict[str, Json]:
        """All that a metric asks for; raises MeasurementError for a name that no run knows."""
        return {name: self._value(name, roles) for name in metric.context}

    def _value(self, name: str, roles: Roles) -> Json:
        known = self._known.get(name)
        if known is None:
            raise MeasurementError(say("a metric asks for {name}, which no run knows", name=repr(name)))
        return known(roles)

    def _labels(self) -> dict[str, str]:
        found = self._devices.answering().values()
        return {each.name: each.label for each in found if each.label != each.name}

    def _context_needed(self, roles: Roles) -> int:
        """Tokens that the selected rows of a device need at least."""
        return max((self._needed_by(each, roles) for each in self._selected_on(roles.subject)), default=0)

    def _selected_on(self, npu: str) -> Iterable[Threshold]:
        table = self._plan.thresholds
        if not self._selected:
            return table.values()
        return [table[threshold_id] for name, threshold_id in self._selected if name == npu]

    def _needed_by(self, threshold: Threshold, roles: Roles) -> int:
        metric = self._plan.metrics[threshold.metric]
        if absent_part(metric, roles) is not None or lacks_baseline(metric, roles):
            return 0
        needs = metric.needs(roles).values()
        return max((each.context_needed(self._plan.workload) for each in needs), default=0)
