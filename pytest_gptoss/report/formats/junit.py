"""Verdicts as JUnit: properties for pytest's own file, and a stored run as a file of its own.

Values are builtin str, int and float only; what does not exist is absent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from xml.etree import ElementTree as ET

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.load_names import level_name
from pytest_gptoss.model.message import Message
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.format import Format
from pytest_gptoss.report.instrument import calibrated, uncalibrated

__all__ = ["FORMAT", "PROPERTIES", "junit", "properties", "suite_properties"]

_BESIDE = ("beside_statistic", "beside_value")
"""Of a row with two statistics the one that is not gated."""
PROPERTIES = (
    "threshold_id", "npu", "tier", "statistic", "value", "limit", "comparison", "unit", "n", "ci_low",
    "ci_high", "proven", "verdict", "reason", "npu_label", "gpu_label", "model", "profile", *_BESIDE,
)  # fmt: skip

LONGEST = 8_000
"""Characters of a text in the file; the whole text is in acceptance.json."""

_OUTCOMES: Mapping[str, str] = {
    "FAIL": "failure", "INVALID": "error", "WAIVED": "skipped", "SKIPPED": "skipped",
}  # fmt: skip


def properties(row: Mapping[str, Json]) -> list[tuple[str, str | int | float]]:
    """The properties of one verdict row, in the order dashboards expect them."""
    found: list[tuple[str, str | int | float]] = []
    beside = row["details"].get("beside") or {}
    told = {**row, **{name: beside.get(name.removeprefix("beside_")) for name in _BESIDE}}
    for name in PROPERTIES:
        value = told[name]
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        # pytest-xdist sends properties to another process, which takes plain texts alone.
        found.append((name, value.english if isinstance(value, Message) else value))
    return found


def suite_properties(document: Mapping[str, Json]) -> list[tuple[str, str]]:
    """The run's facts as properties of the whole suite; their names begin with ``gptoss_``."""
    run = document["run"]
    facts: dict[str, Json] = {
        "verdict": run["verdict"],
        "evidence": (run.get("equivalence") or {}).get("verdict"),
        "state": document["state"],
        "profile": run["profile"],
        "version": run["versions"].get("pytest-gptoss"),
        "started": run["started"],
        "ended": run["ended"],
        "prompts_sha256": run["prompts_sha256"],
        "inputs": run["settings"].get("inputs"),
        "changed_limits": json.dumps(run["changed_limits"]) if run["changed_limits"] else None,
        "waivers": json.dumps(run["waivers"], ensure_ascii=False) if run["waivers"] else None,
    }
    for device in document["devices"]:
        for fact in ("label", "model", "server_version", "url", "problem"):
            facts[f"{device['name']}_{fact}"] = device[fact]
    for error in calibrated(document):
        facts[f"instrument_{level_name(error['concurrency'])}"] = json.dumps(error)
    facts["instrument_problem"] = "; ".join(uncalibrated(document)) or None
    return [(f"gptoss_{name}", str(value)) for name, value in facts.items() if value is not None]


def junit(document: Mapping[str, Json]) -> str:
    """A stored run as a JUnit file: a test case for each verdict, named as pytest names it.

    A row that the run was asked for and did not reach is an error, and so is a run that has not ended.
    """
    rows = document["verdicts"]
    missed = [row for row in document["not_judged"] if row["why"] == "not reached"]
    running = document["state"] == "running"
    found = Counter(_OUTCOMES.get(row["verdict"], "passed") for row in rows)
    counts = {
        "tests": str(len(rows) + len(missed) + running),
        "failures": str(found["failure"]),
        "errors": str(found["error"] + len(missed) + running),
        "skipped": str(found["skipped"]),
    }
    run = document["run"]
    root = ET.Element("testsuites", name="pytest-gptoss")
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": "pytest-gptoss", **counts, "time": _seconds(run), "timestamp": run["started"]},
    )
    _add_properties(suite, suite_properties(document))
    for row in rows:
        _add_case(suite, row)
    for row in missed:
        # The schema lets a missed row leave its family out; most ids begin with it.
        family = row.get("family", row["threshold_id"].partition(".")[0])
        _add_error(_case(suite, family, row), "not reached: the run ended before it")
    if running:
        case = ET.SubElement(suite, "testcase", classname="pytest_gptoss.acceptance", name="run", time="0")
        _add_error(case, "the run has not ended, or it was killed: these are no results")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _add_case(suite: ET.Element, row: Mapping[str, Json]) -> None:
    case = _case(suite, row["family"], row)
    _add_properties(case, properties(row))
    outcome = _OUTCOMES.get(row["verdict"])
    if outcome is not None:
        why = row["reason"] if outcome == "skipped" else row["line"]
        attributes = {"message": _safe(why or row["verdict"])}
        if outcome == "skipped":
            attributes["type"] = row["verdict"].lower()
        ET.SubElement(case, outcome, attributes).text = _safe(row["line"])


def _case(suite: ET.Element, family: str, row: Mapping[str, Json]) -> ET.Element:
    test = f"test_{family}"
    return ET.SubElement(
        suite,
        "testcase",
        classname=_safe(f"pytest_gptoss.acceptance.{test}"),
        name=_safe(f"{test}[{row['npu']}-{row['threshold_id']}]"),
        time="0",
    )


def _add_error(case: ET.Element, message: str) -> None:
    ET.SubElement(case, "error", {"message": message}).text = message


def _add_properties(parent: ET.Element, found: Iterable[tuple[str, object]]) -> None:
    holder = ET.SubElement(parent, "properties")
    for name, value in found:
        ET.SubElement(holder, "property", name=name, value=_safe(str(value)))


def _safe(text: str) -> str:
    """Text that XML can hold: it knows no control characters and no half surrogate pairs."""
    return printable(shortened(text, LONGEST))


def _seconds(run: Mapping[str, Json]) -> str:
    if run["ended"] is None:
        return "0"
    try:
        taken = datetime.fromisoformat(run["ended"]) - datetime.fromisoformat(run["started"])
    except (ValueError, TypeError):  # of a document that somebody else wrote
        return "0"
    return f"{max(0.0, taken.total_seconds()):.3f}"


FORMAT = Format(
    name="junit", file="acceptance.xml", render=lambda source: junit(source.document), by_run=False
)
"""A run's own JUnit file is pytest's, with ``--junitxml``."""
