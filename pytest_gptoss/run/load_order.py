"""Load levels of a run: which ones are measured together, in which order, on a calibrated instrument."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from pytest_gptoss.client.load import Drive
from pytest_gptoss.client.load.ray_workers import run_on_ray
from pytest_gptoss.client.load.workers import run_in_processes
from pytest_gptoss.config.plan import Plan
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.run.absent import lacks_baseline
from pytest_gptoss.run.instrument import ensure_calibrated, ensure_workers_calibrated
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load

__all__ = ["LoadOrder", "levels_of"]


def levels_of(plan: Plan, roles: Roles, threshold_id: str) -> tuple[Load, ...]:
    """The load levels that a threshold needs and that the run has."""
    threshold = plan.thresholds[threshold_id]
    metric = plan.metrics[threshold.metric]
    if threshold.family != "performance" or lacks_baseline(metric, roles):
        return ()
    needs = (each for each in metric.needs(roles).values() if isinstance(each, Load))
    return tuple(each for each in needs if each.level in plan.workload.levels)


class LoadOrder:
    """Puts each level on one device and then on the others, so that drift hits all.

    With several trials all levels of the run take part, one sweep after the other.
    """

    def __init__(self, task: LoadTask, plan: Plan, store: Store, *, tell: Callable[[str], None]) -> None:
        self._task = task
        self._plan = plan
        self._store = store
        self._tell = tell
        self._expected: frozenset[Load] = frozenset()

    @property
    def drive(self) -> Drive | None:
        """What puts the load of levels; None: this process."""
        if self._task.ray is not None:
            return partial(run_on_ray, address=self._task.ray, workers=self._task.workers)
        count = self._task.workers or 1
        return None if count == 1 else partial(run_in_processes, workers=count)

    def expect(self, levels: Iterable[Load]) -> None:
        """Learn all levels that this run will be asked for."""
        self._expected = frozenset(levels)

    def due(self, asked: Sequence[Load], devices: Sequence[str]) -> list[Load]:
        """What is to be measured now that ``asked`` are wanted, in its order; first calibrates for it.

        ``devices`` are those that answer, in their order. The caller holds the store's lock.
        """
        if not asked:
            return []
        wanted = {*asked, *(self._expected if self._task.trials > 1 else ())}
        if self._task.gpu:
            wanted |= {dataclasses.replace(each, device="gpu") for each in wanted}
        if self._task.calibrate:
            self._calibrate({*wanted, *self._expected})
        missing = [each for each in wanted if each.device in devices and self._store.load(each.id) is None]
        place = list(self._plan.workload.levels).index
        return sorted(missing, key=lambda each: (each.trial, place(each.level), devices.index(each.device)))

    def _calibrate(self, levels: Iterable[Load]) -> None:
        names = {each.level for each in levels}
        shapes = {name: shape for name, shape in self._plan.workload.levels.items() if name in names}
        task = self._task
        if task.ray is not None:
            ensure_workers_calibrated(
                self._store, shapes, address=task.ray, workers=task.workers, tell=self._tell
            )
        else:
            ensure_calibrated(self._store, shapes, tell=self._tell, drive=self.drive)
