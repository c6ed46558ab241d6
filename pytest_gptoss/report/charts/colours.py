"""The colour of each device, level and kind of fork."""

from __future__ import annotations

from pytest_gptoss.report.charts.chart import Document
from pytest_gptoss.report.tables.load import levels
from pytest_gptoss.report.tables.rows import npus

__all__ = ["hues"]


def hues(document: Document) -> dict[str, str]:
    """The colour of each device and of each level, by the name of a style variable."""
    found = {device["name"]: device["role"] for device in document["devices"] if device["role"] != "npu"}
    found |= {name: f"npu{min(index, 3)}" for index, name in enumerate(npus(document))}
    at_levels = dict.fromkeys(row["level"] for row in levels(document))
    found |= {name: f"level{index % 6}" for index, name in enumerate(at_levels)}
    return {**found, "real": "real", "near tie": "near", "length": "length", "unknown": "unknown"}
