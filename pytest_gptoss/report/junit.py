"""A verdict as JUnit properties: builtin str, int and float only; what does not exist is absent."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.records import Json

__all__ = ["PROPERTIES", "properties"]

PROPERTIES = (
    "threshold_id", "npu", "tier", "statistic", "value", "limit", "comparison", "unit", "n", "ci_low",
    "ci_high", "proven", "verdict", "reason", "npu_label", "gpu_label", "model", "profile",
)  # fmt: skip


def properties(row: Mapping[str, Json]) -> list[tuple[str, str | int | float]]:
    """The properties of one verdict row, in the order dashboards expect them."""
    found: list[tuple[str, str | int | float]] = []
    for name in PROPERTIES:
        value = row[name]
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        found.append((name, value))
    return found
