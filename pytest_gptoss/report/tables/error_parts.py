"""The error ratio in parts of the text: where a device is farther from FP32 than the baseline is."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.equivalence import ERROR_RATIO
from pytest_gptoss.report.tables.rows import by_threshold, device_caption
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["error_parts_table"]


def error_parts_table(document: Mapping[str, Json], npu: str, translate: Wording) -> Table:
    """Ratios of RMSE and of the largest error, then the ratio of means in each part of the text."""
    row = by_threshold(document, npu).get(ERROR_RATIO)
    details = {} if row is None or row["value"] is None else row["details"]
    parts: list[tuple[str, int | None, float | None]] = []
    if "where" in details:
        parts = [
            ("rmse", None, details.get("rmse_ratio")),
            ("largest", None, details.get("largest_ratio")),
            *((each["part"], each["positions"], each["ratio"]) for each in details["where"]),
        ]
    rows = [
        (Cell(translate(f"error_part.{part}")), figure(count, translate), figure(ratio, translate))
        for part, count, ratio in parts
    ]
    return Table(
        "error_parts",
        device_caption(document, npu, translate("section.error_parts")),
        heads(translate, "error_part", "positions", "ratio_of_errors"),
        tuple(rows),
    )
