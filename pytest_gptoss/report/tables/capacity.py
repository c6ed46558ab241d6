"""The probes behind a device's capacity, by their rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import device_caption
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["capacity_rows", "capacity_table", "probes_of"]

Document = Mapping[str, Json]
Row = Mapping[str, Json]


def capacity_rows(document: Document) -> list[Row]:
    """The verdicts on capacity that rest on probes."""
    return [
        row
        for row in document["verdicts"]
        if row["threshold_id"] == "performance.capacity" and row["details"].get("probes")
    ]


def probes_of(row: Row) -> list[dict[str, Any]]:
    """The probes of a verdict, the lowest rate first."""
    return sorted(row["details"]["probes"], key=lambda each: each["rate"])


def capacity_table(document: Document, npu: str, translate: Wording) -> Table:
    """The probes of one device; no rows where its capacity was not found."""
    rows = [
        (
            figure(probe["rate"], translate),
            figure(probe["requests"], translate),
            Cell(f"{probe['goodput']:.1%}", figure=True),
            Cell("{:.1%} - {:.1%}".format(*probe["goodput_interval"]), figure=True),
            figure(probe["ttft_p50_ms"], translate),
            figure(probe["ttft_p95_ms"], translate),
            figure(probe["failed"], translate),
        )
        for row in capacity_rows(document)
        if row["npu"] == npu
        for probe in probes_of(row)
    ]
    caption = device_caption(document, npu, translate("name.performance.capacity"))
    columns = ("rate", "n", "kept_level", "interval", "ttft", "ttft_p95", "failures")
    return Table("capacity", caption, heads(translate, *columns), tuple(rows))
