"""The verdicts, and the rows that have none."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import device_caption, nothing
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.tables.verdict_words import interval, limit, value, verdict_cell
from pytest_gptoss.report.wording import Wording

__all__ = ["not_measured_table", "skipped_table", "verdict_table"]

Document = Mapping[str, Json]


def verdict_table(document: Document, npu: str, translate: Wording) -> Table:
    """Every verdict on one device: value, limit, how sure."""
    rows = [
        (
            Cell(translate.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(value(row, translate), figure=True),
            Cell(limit(row, translate), figure=True),
            Cell(interval(row, translate), figure=True),
            figure(row["n"], translate),
            Cell(translate.word("tier", row["tier"])),
            verdict_cell(row, translate),
        )
        for row in document["verdicts"]
        if row["npu"] == npu
    ]
    return Table(
        "thresholds",
        device_caption(document, npu, translate("section.thresholds")),
        heads(translate, "figure", "threshold", "value", "limit", "interval", "n", "tier", "status"),
        tuple(rows),
        empty=translate("nothing.measured"),
    )


def skipped_table(document: Document, translate: Wording) -> Table:
    """The rows whose condition is absent, and what is absent."""
    rows = [
        (
            Cell(translate.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(row["npu"]),
            Cell(row["reason"] or ""),
        )
        for row in document["verdicts"]
        if row["verdict"] == "SKIPPED"
    ]
    return Table(
        "skipped",
        translate("section.skipped"),
        heads(translate, "figure", "threshold", "device", "reason"),
        tuple(rows),
    )


def not_measured_table(document: Document, translate: Wording) -> Table:
    """Thresholds of the profile without a verdict."""
    rows = [
        (
            Cell(translate.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(row["npu"]),
            Cell(f"{row['comparison']} {translate.limit(row['limit'], row['unit'])}", figure=True),
            Cell(translate.word("why", row["why"])),
        )
        for row in document["not_judged"]
    ]
    return Table(
        "not_measured", translate("section.not_measured"),
        heads(translate, "figure", "threshold", "device", "limit", "why"), tuple(rows),
        empty=nothing(document, "not_measured", translate), folded=True,
    )  # fmt: skip
