"""Rows that a table gets beyond its own: for load levels and needle depths that it does not name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from pytest_gptoss.judge.needle_cells import Cell, cells_of, full_grid
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["with_all_depths", "with_levels"]


def with_levels(table: Mapping[str, Threshold], levels: Mapping[str, LoadShape]) -> dict[str, Threshold]:
    """The table with what makes a level trustworthy and its audit, for each level that has no such rows.

    An open level also gets a row on its queue, and one on goodput where its shape has a service level.
    """
    full = dict(table)
    for level, shape in levels.items():
        for figure in ("completed", "uncached", "audit"):
            like = next((row for row in table.values() if row.metric.startswith(f"{figure}.")), None)
            row_id = f"{'stress' if figure == 'audit' else 'performance'}.{figure}.{level}"
            if like is not None and row_id not in full:
                full[row_id] = dataclasses.replace(like, id=row_id, metric=f"{figure}.{level}")
        for row in _open_rows(level, shape):
            full.setdefault(row.id, row)
    return full


def _open_rows(level: str, shape: LoadShape) -> Iterator[Threshold]:
    if shape.arrivals is None:
        return
    row = Threshold(
        f"performance.stable.{level}", "performance", f"stable.{level}", "worst", "<=", 1.0,
        "times the allowed", "assurance", "ours",
    )  # fmt: skip
    yield row
    if shape.slo is not None and shape.slo.is_set:
        yield dataclasses.replace(
            row,
            id=f"performance.goodput.{level}",
            metric=f"goodput.{level}",
            statistic="share",
            comparison=">=",
            limit=shape.slo.share,
            unit="share",
        )


def with_all_depths(table: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """Beside each row of needle recall the same length at the other depths, which are not the guide's."""
    grid = full_grid(cells_of(table.values()))
    full: dict[str, Threshold] = {}
    for row in table.values():
        length = _needle_length(row)
        for cell in grid:
            if cell.length == length:
                full.setdefault(f"needle.recall.{cell.name}", _recall_row(table, row, cell))
        full.setdefault(row.id, row)
    return full


def _recall_row(table: Mapping[str, Threshold], like: Threshold, cell: Cell) -> Threshold:
    """The table's own row for a cell, or else one with the limit of another depth."""
    row_id = f"needle.recall.{cell.name}"
    if row_id in table:
        return table[row_id]
    metric = f"needle_recall.{cell.name}"
    return dataclasses.replace(like, id=row_id, metric=metric, tier="assurance", source="ours")


def _needle_length(row: Threshold) -> int | None:
    """The prompt length of a row of needle recall; None for any other row."""
    if not row.metric.startswith("needle_recall."):
        return None
    return next((cell.length for cell in cells_of([row])), None)
