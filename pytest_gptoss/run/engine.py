"""One acceptance run: devices, measurements and verdicts, each made once and only when asked for.

This is the whole suite without pytest. What it does lies in ``devices``, ``measuring`` and ``judging``;
here they are given to each other, in that order.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_gptoss.client.load.ray_workers import connect
from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.trend import Past
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.lm_head import read_lm_head
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import Verdict
from pytest_gptoss.run.baseline import Baseline, read_baseline
from pytest_gptoss.run.context import RunContext
from pytest_gptoss.run.devices import RunDevices
from pytest_gptoss.run.estimating import Estimating
from pytest_gptoss.run.info_metrics import InfoMetrics
from pytest_gptoss.run.judging import Judging
from pytest_gptoss.run.load_order import LoadOrder, levels_of
from pytest_gptoss.run.measuring import Measuring
from pytest_gptoss.run.recording import record_run
from pytest_gptoss.run.replay import run_facts
from pytest_gptoss.run.roles import roles_of
from pytest_gptoss.run.servers_seen import RECORDED
from pytest_gptoss.run.stopwatch import Stopwatch
from pytest_gptoss.run.store import Store
from pytest_gptoss.run.turns import Turns
from pytest_gptoss.scenarios.kinds import Scenario
from pytest_gptoss.servers.started import Servers, Started

__all__ = ["AcceptanceRun"]


class AcceptanceRun:
    """Answers ``verdict(npu, threshold id)``; measures what that needs and no more.

    ``devices`` are those that the settings name. ``started`` tells of the servers that another process has
    started for this run (pytest-xdist's controller); without it the run starts what its settings tell it to
    start. ``past`` knows earlier runs' figures of a device's row.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        tell: Callable[[str], None],
        started: Started | None = None,
        past: Callable[[str, str], Sequence[Past]] = lambda npu, row: (),
    ) -> None:
        _refuse_unreadable_head(settings)
        self.settings = settings
        self.plan = plan
        self.baseline = _fitting_baseline(settings, plan)
        self.store = Store(settings.report / "run")
        self.servers = Servers(settings, tell=tell, started=started)
        self._tell = tell
        self._stopwatch = Stopwatch()
        self.devices = RunDevices(
            settings,
            self.store,
            self.servers,
            baseline=self.baseline,
            stopwatch=self._stopwatch,
            tell=tell,
        )
        self._load_order = LoadOrder(settings.load, plan, self.store, tell=tell)
        self._measuring = Measuring(
            self.devices,
            self.store,
            plan.workload,
            self._load_order,
            replay=settings.replay is not None,
            fleet=settings.fleet,
            stopwatch=self._stopwatch,
            tell=tell,
        )
        self._context = RunContext(plan, settings.info, self.devices)
        from_files = settings.replay is not None or self.baseline is not None
        estimating = Estimating(self._measuring, self._context, from_files=from_files)
        info = InfoMetrics(plan.metrics, self.store, self._measuring, estimating)
        self._judging = Judging(settings, plan, self.store, estimating, info, past=past)
        self._turns = Turns(
            settings,
            plan,
            self.store,
            devices=self.devices,
            measuring=self._measuring,
            judging=self._judging,
        )
        self.devices.in_turn = self._turns.take

    # -- beginning and end --------------------------------------------------------------------

    def begin(self) -> None:
        """Make the store: empty, or filled with the recorded baseline or the run to replay.

        Raises StoreError when another run has the directory, or something else is in the way, and UsageError
        when the Ray cluster that is to put the load cannot be joined.
        """
        if self.settings.load.ray is not None and self.settings.replay is None:
            connect(self.settings.load.ray)
        self.store.claim()
        replay = self.settings.replay
        if replay is None:
            self.store.begin()
        else:
            self.store.adopt(replay / "run")
        self.store.save_document("run", run_facts(self.settings, self.plan.profile.name, self.facts()))
        if replay is None:
            self.store.save_document("id", uuid.uuid4().hex)
        if self.baseline is not None:
            self._fill_from(self.baseline)

    def facts(self) -> Mapping[str, Json]:
        """What the measurements rest on: this run's workload, or that of the run it replays."""
        return self.settings.replayed_workload or self.plan.workload.facts()

    def expect(self, rows: Iterable[tuple[str, str]]) -> None:
        """Learn which rows (npu, threshold id) this run will be asked for; none: any may be asked.

        Load levels of all of them are repeated together, and their longest context is known beforehand.
        """
        rows = list(rows)
        self._context.select(rows)
        self._turns.expect(rows)
        self._load_order.expect(
            level for npu, row in rows for level in levels_of(self.plan, self.roles(npu), row)
        )

    def record(self) -> tuple[str, ...]:
        """Write the baseline file the user asked for; returns the scenarios it holds."""
        return record_run(self.settings, self.plan, self.store, tell=self._tell)

    def close(self) -> None:
        """Stop the servers this run has started, and leave the report directory to others."""
        self.servers.stop()
        self.store.release()

    def _fill_from(self, baseline: Baseline) -> None:
        names = tuple(device.name for device in self.settings.devices if device.recorded)
        baseline.fill(self.store, names)
        self.store.save_document(RECORDED, {"file": baseline.path.name, "devices": list(names)})

    # -- asking -------------------------------------------------------------------------------

    @property
    def measured_s(self) -> float:
        """Seconds spent so far on measuring, or on waiting for another process that measures."""
        return self._stopwatch.seconds

    def roles(self, npu: str) -> Roles:
        """The devices that play in a verdict about ``npu``."""
        return roles_of(self.settings, self.plan, npu)

    def measure(self, *scenarios: Scenario) -> tuple[Measurement[Any], ...]:
        """The measurements of these scenarios, made now if they were not before.

        Raises MeasurementError when a device cannot be measured at all.
        """
        return self._measuring.measure(*scenarios)

    def verdict(self, npu: str, threshold_id: str) -> Verdict:
        """Judge one threshold on one device; never raises for what a server did."""
        return self._judging.verdict(npu, threshold_id)

    def judge_finished_levels(self, rows: Iterable[tuple[str, str]]) -> Iterator[Verdict]:
        """After an interruption: verdicts on load levels that were measured to the end and not yet judged."""
        return self._judging.judge_finished_levels(rows)


def _fitting_baseline(settings: Settings, plan: Plan) -> Baseline | None:
    """The recorded baseline, None without one.

    Raises UsageError when it, or the run to replay, rests on other inputs than this run.
    """
    facts = plan.workload.facts()
    baseline = None if settings.baseline is None else read_baseline(settings.baseline)
    if baseline is not None:
        baseline.refuse_if_different({**facts, "inputs": settings.inputs})
    if settings.prompts is not None and settings.replayed_workload is not None:
        _refuse_other_prompts(facts, settings.replayed_workload)
    return baseline


def _refuse_unreadable_head(settings: Settings) -> None:
    """Raise UsageError before anything is sent; the checkpoint is read when hidden states are recovered."""
    if settings.lm_head is not None:
        try:
            read_lm_head(settings.lm_head)
        except UsageError as error:
            raise UsageError(f"--gptoss-lm-head: {error}") from None


def _refuse_other_prompts(ours: Mapping[str, Json], replayed: Mapping[str, Json]) -> None:
    if ours["prompts_sha256"] != replayed["prompts_sha256"]:
        raise UsageError(
            "--gptoss-prompts: the replayed run was measured on other prompts "
            f"({replayed['prompts_sha256'][:12]}, not {ours['prompts_sha256'][:12]}): leave the option out"
        )
