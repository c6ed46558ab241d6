"""Right while busy: each row of the stress family with what its sample rests on and excludes."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import device_caption
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.tables.verdict_words import limit, value, verdict_cell
from pytest_gptoss.report.wording import Wording

__all__ = ["stress_table"]

Row = Mapping[str, Json]


def stress_table(document: Mapping[str, Json], npu: str, translate: Wording) -> Table:
    """The family's rows; ``compared`` and ``excluded`` of those that audit answers."""
    rows = [
        (
            Cell(translate.name(row["threshold_id"])),
            Cell(value(row, translate), figure=True),
            Cell(limit(row, translate), figure=True),
            figure(row["n"], translate),
            figure(row["details"].get("compared"), translate),
            Cell(_excluded(row, translate), figure=True),
            verdict_cell(row, translate),
            Cell(row["reason"] or row["details"].get("finding") or ""),
        )
        for row in document["verdicts"]
        if row["npu"] == npu and row["family"] == "stress"
    ]
    return Table(
        "stress",
        device_caption(document, npu, translate("section.stress")),
        heads(translate, "figure", "value", "limit", "n", "compared", "excluded", "status", "remark"),
        tuple(rows),
        empty=translate("nothing.measured"),
    )


def _excluded(row: Row, translate: Wording) -> str:
    """The share of faulty answers that the sample excludes at 95%; ``-`` where it shows one, or has none."""
    share = row["details"].get("excluded")
    return translate.figure(None) if share is None else f">= {share:.1%}"
