"""The reports of a run: the document of one that is running, and all files of one that has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone

import pytest

from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import FAMILIES
from pytest_gptoss.plugin.asking import Asking
from pytest_gptoss.plugin.past_runs import add_histories
from pytest_gptoss.plugin.problems import Problems
from pytest_gptoss.plugin.report_parts import (
    device_rows,
    facts_of_run,
    measurements,
    not_judged,
    write_formats,
)
from pytest_gptoss.plugin.selected_rows import Row, SelectedRows
from pytest_gptoss.report.document import State, acceptance_document, finite
from pytest_gptoss.report.files import forget_reports, write_document
from pytest_gptoss.report.formats.junit import suite_properties
from pytest_gptoss.report.schema import faults
from pytest_gptoss.run.engine import AcceptanceRun

__all__ = ["Reporting"]


class Reporting:
    """Writes the reports; ``document`` is the report document once the run has ended, None before.

    ``unread`` says why the ledger's earlier runs are not in it.
    """

    def __init__(
        self,
        config: pytest.Config,
        run: AcceptanceRun,
        *,
        asking: Asking,
        diagnosis: Diagnosis,
        selected: SelectedRows,
        problems: Problems,
    ) -> None:
        self._config = config
        self._run = run
        self._asking = asking
        self._diagnosis = diagnosis
        self._selected = selected
        self._problems = problems
        self._started = _now()
        self.document: dict[str, Json] | None = None
        self.unread = ""

    def begin(self) -> None:
        """The old report is gone, the new one says that it is running; raises GptossError."""
        self._diagnosis.begin()
        self._selected.begin()
        directory = self._run.settings.report
        forget_reports(directory)
        write_document(directory, acceptance_document(state="running", run=self._facts(None)))

    def conclude(self, state: State) -> None:
        """Write every report of a run that has ended."""
        selected = self._selected.asked_for()
        if state == "interrupted":
            self._judge_finished_levels(selected)
        document = self._document_of(state, self._run.record(), selected)
        self.unread = add_histories(document, self._run.settings)
        with self._problems.noting("a pytest_gptoss_report hook failed"):
            self._config.hook.pytest_gptoss_report(config=self._config, document=document)
        self.document = finite(document)
        with self._problems.noting("JUnit's suite properties could not be added"):
            self._add_suite_properties(self.document)
        self._write(self.document)

    def _judge_finished_levels(self, selected: Collection[Row]) -> None:
        judged = {(row["npu"], row["threshold_id"]) for row in self._verdict_rows()}
        for verdict in self._run.judge_finished_levels([row for row in selected if row not in judged]):
            self._asking.keep(verdict)

    def _document_of(
        self, state: State, recorded: Iterable[str], selected: Collection[Row]
    ) -> dict[str, Json]:
        rows = self._verdict_rows()
        npus, order = list(self._run.settings.subjects), list(self._run.plan.thresholds)
        rows.sort(key=lambda row: (npus.index(row["npu"]), order.index(row["threshold_id"])))
        return acceptance_document(
            state=state,
            run={**self._facts(_now()), "recorded": list(recorded)},
            devices=device_rows(self._run),
            verdicts=rows,
            selected=max(len(selected), len(rows)),
            measurements=measurements(self._run, self._diagnosis, self._asking.player_names, rows),
            not_judged=self._not_judged(rows, selected),
            fleet=self._run.settings.fleet,
        )

    def _verdict_rows(self) -> list[dict[str, Json]]:
        return [row for row in self._run.store.verdicts() if row is not None]

    def _facts(self, ended: str | None) -> dict[str, Json]:
        return facts_of_run(self._run, started=self._started, ended=ended)

    def _not_judged(
        self, rows: Iterable[Mapping[str, Json]], selected: Collection[Row]
    ) -> list[dict[str, Json]]:
        judged = {(row["npu"], row["threshold_id"]) for row in rows}
        to_be_had = {(npu, row.id) for family in FAMILIES for npu, row in self._asking.rows(family)}
        thresholds = self._run.plan.thresholds.values()
        return not_judged(self._run.settings.subjects, thresholds, to_be_had - judged, selected)

    def _write(self, document: Mapping[str, Json]) -> None:
        write_document(self._run.settings.report, document)
        wrong = faults(document)
        if wrong:  # a hook's doing, or a fault of ours; who reads the file must know
            self._problems.lines.append(f"acceptance.json does not keep its schema: {'; '.join(wrong)}")
        write_formats(self._run, document, self._problems.noting)

    def _add_suite_properties(self, document: Mapping[str, Json]) -> None:
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is None:
            return
        for name, value in suite_properties(document):
            xml.add_global_property(name, value)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
