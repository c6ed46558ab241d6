"""What tests ask of a run: its rows and devices, verdicts, and what to say of a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.judge.conditions import FIRST
from pytest_gptoss.judge.verdicts import line
from pytest_gptoss.model.errors import GptossError, MeasurementError, UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.model.verdicts import Threshold, Verdict
from pytest_gptoss.plugin.keys import MEASURED_S
from pytest_gptoss.report.document import verdict_row
from pytest_gptoss.report.formats.junit import properties
from pytest_gptoss.run.engine import AcceptanceRun

if TYPE_CHECKING:
    import httpx

__all__ = ["Asking"]


class Asking:
    """Answers fixtures and rows; keeps every verdict for the reports."""

    def __init__(self, run: AcceptanceRun, diagnosis: Diagnosis) -> None:
        self._run = run
        self._diagnosis = diagnosis

    # -- rows and devices ---------------------------------------------------------------------

    def rows(self, family: str) -> list[tuple[str, Threshold]]:
        """(npu, threshold) of every row of a family, one device after the other."""
        npus = self._run.settings.subjects or ("npu",)
        plan = self._run.plan
        table_rows = [row for row in plan.thresholds.values() if row.family == family]
        others = [row for row in table_rows if plan.metrics[row.metric].condition is not FIRST]
        return [(npu, row) for npu in npus for row in (others if npu == npus[0] else table_rows)]

    def name_of(self, role: str) -> str | None:
        """Name of the first device in a role."""
        return next((each.name for each in self._run.settings.devices if each.role == role), None)

    def http_client(self, device: Device) -> httpx.AsyncClient:
        """An httpx client for a project's own requests to a device."""
        devices = self._run.devices
        return devices.access().http_client(device.role, devices.url(device.name))

    # -- verdicts -----------------------------------------------------------------------------

    def verdict(self, npu: str | None, threshold_id: str) -> Verdict:
        """A threshold's verdict on a device (default: the first under test)."""
        npus = self._run.settings.subjects
        if not npus:
            raise MeasurementError("no device under test: add --npu-url URL")
        name = npu or npus[0]
        if name not in npus:
            raise UsageError(f"no device under test is called {name!r}; there are: {', '.join(npus)}")
        if threshold_id not in self._run.plan.thresholds:
            known = ", ".join(self._run.plan.thresholds)
            raise UsageError(f"no threshold is called {threshold_id!r}; there are: {known}")
        return self._run.verdict(name, threshold_id)

    def judge_row(self, npu: str, threshold_id: str, item: pytest.Item) -> Verdict:
        """Judge one row, keep the verdict, and hang its facts on the test for JUnit and others."""
        before = self._run.measured_s
        verdict = self._run.verdict(npu, threshold_id)
        item.stash[MEASURED_S] = self._run.measured_s - before
        item.user_properties.extend(properties(self.keep(verdict)))
        return verdict

    def keep(self, verdict: Verdict) -> dict[str, Json]:
        """Keep a verdict for the reports; returns its row."""
        device = self._answering().get(verdict.subject)
        row = verdict_row(
            verdict,
            devices=self._players(verdict),
            model=device.model if device else None,
            profile=self._run.plan.profile.name,
        )
        self._run.store.save_verdict(verdict.subject, verdict.threshold.id, row)
        return row

    def explain(self, verdict: Verdict) -> str:
        """A verdict in one line, with the devices that played; what their logs say of it stands below."""
        if verdict.status == "WAIVED":
            return f"WAIVED: {verdict.reason}"
        said = line(verdict, self._players(verdict))
        if verdict.status not in ("FAIL", "INVALID") or "blocked_by" in verdict.details:
            return said
        threshold_id = verdict.threshold.id
        beside = self._diagnosis.beside(threshold_id, self.player_names(verdict.subject, threshold_id))
        return "\n".join([said, *beside])

    # -- who plays ----------------------------------------------------------------------------

    def player_names(self, npu: str, threshold_id: str) -> list[str]:
        """The devices a verdict is about, whether they answer or not."""
        metric = self._run.plan.metrics[self._run.plan.thresholds[threshold_id].metric]
        roles = self._run.roles(npu)
        others = () if metric.condition is None else metric.condition.others(roles)
        names = (npu, roles.gpu if metric.baseline else None, *others)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _players(self, verdict: Verdict) -> dict[str, Device]:
        """The devices a verdict is about, as far as they answer."""
        found = self._answering()
        names = self.player_names(verdict.subject, verdict.threshold.id)
        return {name: found[name] for name in names if name in found}

    def _answering(self) -> dict[str, Device]:
        """Every device that answers; none where the run cannot tell."""
        try:
            return self._run.devices.answering()
        except GptossError:
            return {}
