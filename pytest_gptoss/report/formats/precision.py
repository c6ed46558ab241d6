"""``precision_report.json``: the four contract figures, the three edges, and every prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import PRECISION_CONTRACT
from pytest_gptoss.report.format import Format

__all__ = ["CONTRACT_METRICS", "FORMAT", "precision_report"]

CONTRACT_METRICS = tuple(f"precision.{name}" for name in PRECISION_CONTRACT)


def precision_report(document: Mapping[str, Json]) -> dict[str, Json]:
    """The precision part of the report document, in the form the document's own script names."""
    rows: Sequence[Mapping[str, Json]] = document["verdicts"]
    measured: Mapping[str, Json] = document["measurements"]
    compared = {(row["device"], row["threshold_id"]): row for row in measured.get("precision", [])}
    return {
        "schema_version": document["schema_version"],
        "state": document["state"],
        "metrics": [
            _metric(row, compared.get((row["device"], row["threshold_id"]), {}))
            for row in rows
            if row["threshold_id"] in CONTRACT_METRICS
        ],
        "edges": measured.get("edges", []),
        "prompts": measured.get("prompts", []),
    }


def _metric(row: Mapping[str, Json], compared: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "name": row["threshold_id"].removeprefix("precision."),
        "threshold_id": row["threshold_id"],
        "device": row["device"],
        "value": row["value"],
        "gpu": compared.get("gpu"),
        "npu": compared.get("npu"),
        "difference": compared.get("difference"),
        "unit": row["unit"],
        "beside": row["details"].get("beside"),
        "comparison": row["comparison"],
        "limit": row["limit"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "source": row["source"],
        "n": row["n"],
        "ci": row["ci"],
    }


FORMAT = Format(
    name="json",
    file="precision_report.json",
    render=lambda source: precision_report(source.document),
    about="the parts in the form of the guide's scripts",
    schema="precision-report-1.schema.json",
)
