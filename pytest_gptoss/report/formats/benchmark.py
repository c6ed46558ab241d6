"""``benchmark_report.json``: every load level with its distributions, and every request with its stamps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.format import Format

__all__ = ["FORMAT", "benchmark_report"]


def benchmark_report(document: Mapping[str, Json], requests: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """The performance part of the report document, in the form the document's own script names.

    ``requests`` as they were measured; the report document holds their distributions alone.
    """
    load: Mapping[str, Json] = document["measurements"].get("load", {})
    levels: Sequence[Mapping[str, Json]] = load.get("levels", [])
    return {
        "schema_version": document["schema_version"],
        "state": document["state"],
        "verdict": document["run"]["verdict"],
        "verdicts": [
            {name: row[name] for name in _VERDICT}
            for row in document["verdicts"]
            if row["family"] == "performance"
        ],
        "instrument": load.get("instrument", {"errors": [], "problem": None}),
        "notes": list(load.get("notes", [])),
        "levels": [dict(level) for level in levels],
        "requests": [dict(request) for request in requests],
    }


_VERDICT = (
    "device", "threshold_id", "statistic", "value", "comparison", "limit", "unit", "n", "ci", "proven",
    "verdict", "reason",
)  # fmt: skip


FORMAT = Format(
    name="json",
    file="benchmark_report.json",
    render=lambda source: benchmark_report(source.document, source.requests()),
    schema="benchmark-report-1.schema.json",
    compact=True,
    by_run_alone="it lists every request with its stamps, which acceptance.json does not hold",
)
