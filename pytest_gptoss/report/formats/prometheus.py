"""``acceptance.prom``: a run's rows as metrics in Prometheus' text format.

Prometheus' textfile collector and GitLab's metrics reports read it. What does not exist has no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.format import Format

__all__ = ["FORMAT", "VERDICTS", "prometheus"]

VERDICTS = ("PASS", "FAIL", "INVALID", "WAIVED", "SKIPPED")

LONGEST = 200
"""Characters of a label's value."""

_OF_ROW: Mapping[str, tuple[str, Callable[[Mapping[str, Json]], Json]]] = {
    "gptoss_row_value": ("What a row measured, in its unit", lambda row: row["value"]),
    "gptoss_row_limit": ("What a row requires, in its unit", lambda row: row["limit"]),
    "gptoss_row_n": ("How many samples a row rests on", lambda row: row["n"]),
    "gptoss_row_ci_low": ("Lower end of a value's 95% interval", lambda row: row["ci_low"]),
    "gptoss_row_ci_high": ("Upper end of a value's 95% interval", lambda row: row["ci_high"]),
}
"""Metrics of each row: their help, and where the figure is."""


def prometheus(document: Mapping[str, Json]) -> str:
    """The text of the file, in the document's order."""
    run = document["run"]
    lines = list(_metric("gptoss_run_verdict", "1 for the run's verdict", [(_of_run(run), 1)]))
    times = [({"profile": run["profile"]}, _moment(run[name])) for name in ("started", "ended")]
    for name, (labels, moment) in zip(("started", "ended"), times, strict=True):
        if moment is not None:
            lines += _metric(
                f"gptoss_run_{name}_seconds", f"When the run {name}, UNIX time", [(labels, moment)]
            )
    rows = _rows(document)
    for name, (text, figure) in _OF_ROW.items():
        lines += _metric(name, text, [(labels, figure(row)) for labels, row in rows])
    verdicts = [
        ({**labels, "verdict": verdict}, int(row["verdict"] == verdict))
        for labels, row in rows
        for verdict in VERDICTS
    ]
    lines += _metric("gptoss_row_verdict", "1 for a row's verdict, 0 for the others", verdicts)
    return "\n".join(lines) + "\n"


def _of_run(run: Mapping[str, Json]) -> dict[str, str]:
    return {"profile": run["profile"], "verdict": run["verdict"]}


def _rows(document: Mapping[str, Json]) -> list[tuple[dict[str, str], Mapping[str, Json]]]:
    """Each verdict with its labels; one that comes twice is there once, as the format wants it."""
    found = {}
    for row in document["verdicts"]:
        labels = {
            "device": row["npu"],
            "row": row["threshold_id"],
            "profile": row["profile"],
            "tier": row["tier"],
            "unit": row["unit"],
        }
        found[row["npu"], row["threshold_id"]] = (labels, row)
    return list(found.values())


def _metric(name: str, text: str, samples: list[tuple[dict[str, str], Json]]) -> Iterator[str]:
    """The lines of one metric; none where it has no sample."""
    there = [(labels, value) for labels, value in samples if value is not None]
    if not there:
        return
    yield f"# HELP {name} {text}."
    yield f"# TYPE {name} gauge"
    for labels, value in there:
        told = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
        yield f"{name}{{{told}}} {float(value)!r}"


def _escaped(text: str) -> str:
    told = printable(shortened(text, LONGEST))
    return told.replace("\\", "\\\\").replace('"', '\\"')


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:  # of a document that somebody else wrote
        return None


FORMAT = Format(
    name="prom",
    file="acceptance.prom",
    render=lambda source: prometheus(source.document),
    about="metrics for Prometheus and GitLab",
)
