"""``acceptance.html``: one file without scripts that opens offline, on a phone, in the dark and on paper.

Everything a server said is text: the template escapes it, and what does not show is written as its escape.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_gptoss.model.errors import MissingExtra
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.charts.capacity import capacity_charts
from pytest_gptoss.report.charts.chart import Chart, chart_table
from pytest_gptoss.report.charts.colours import hues
from pytest_gptoss.report.charts.load import load_charts
from pytest_gptoss.report.charts.needles import needle_chart
from pytest_gptoss.report.charts.precision import precision_charts
from pytest_gptoss.report.diagnosis import Finding, advice, diagnosis
from pytest_gptoss.report.equivalence import equivalence_line
from pytest_gptoss.report.fleet import fleet_notes, hidden_note
from pytest_gptoss.report.format import Format
from pytest_gptoss.report.headline import (
    attention,
    attention_text,
    changed,
    close,
    partial,
    sentence,
    tallies,
    tone,
    verdict_words,
)
from pytest_gptoss.report.heat import heats
from pytest_gptoss.report.ranges import range_groups
from pytest_gptoss.report.sections import PARTS, SECTIONS
from pytest_gptoss.report.shown_nodes import fleet_part, shown_part
from pytest_gptoss.report.spoken import spoken
from pytest_gptoss.report.tables.fleet import fleet_tables
from pytest_gptoss.report.tables.forks import forks, visible
from pytest_gptoss.report.tables.rows import nothing, npus
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.wording import Wording

__all__ = ["FORMAT", "SIGNS", "html"]

Document = Mapping[str, Json]

SIGNS: Mapping[str, str] = {
    "PASS": "✓", "FAIL": "✗", "INVALID": "!", "WAIVED": "–", "SKIPPED": "–", "OPEN": "○", "SHOWN": "·",
}  # fmt: skip

LONGEST = 2_000
"""Characters of one text on the page; the whole text is in acceptance.json."""
LONGEST_NAME = 200
"""Characters of a device's line below the verdict."""
MOST_DIFFS = 40
"""Token diffs drawn, the gravest first; all of them are in acceptance.json."""
MOST_ROWS = 500
"""Rows of a long table."""

_PLAIN = (
    "precision", "needle", "stress", "features", "provenance", "changes", "waivers", "skipped",
    "not_measured", "scenarios",
)  # fmt: skip
"""Tables whose section's heading says what they are."""

_TEMPLATES = Path(__file__).parents[1] / "templates"


def html(document: Document, language: Language = "en") -> str:
    """The report document as a page.

    Raises MissingExtra when the packages of the ``report`` extra are not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtra(error.name) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("acceptance.html.j2")
    return page.render(_context(spoken(document, language), language)).lstrip()


def _shown(value: Any) -> Any:
    """What a template writes: plain text is made printable; markup of our own passes as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(shortened(value, LONGEST))
    return value


def _context(whole: Document, language: Language) -> dict[str, Any]:
    translate = Wording(language)
    document = shown_part(whole)
    found = diagnosis(document, translate)
    next_id = itertools.count(1).__next__
    return {
        "language": language,
        "translate": translate,
        "signs": SIGNS,
        "css": _ours((_TEMPLATES / "acceptance.css").read_text("utf-8")),
        "next_id": next_id,
        "visible": visible,
        "nothing": lambda key: nothing(document, key, translate),
        "most_rows": MOST_ROWS,
        "plain": _PLAIN if len(npus(document)) == 1 else (),
        "contents": _contents(whole, diagnosed=bool(found)),
        "parts": {section: _parts(section, document, translate) for section in SECTIONS},
        **_head(whole, translate),
        **_fleet(whole, translate),
        **_first(document, found, translate),
        "diagnosis": found,
        "ranges": range_groups(document, translate),
        **_drawings(document, translate, next_id),
    }


def _ours(markup: str) -> Any:
    from markupsafe import Markup

    return Markup(markup)  # noqa: S704 - files and drawings of our own, never a server's text


def _contents(document: Document, *, diagnosed: bool) -> tuple[str, ...]:
    """Sections and parts that the navigation leads to."""
    fleet = () if fleet_part(document) is None else ("fleet",)
    return (*fleet, "attention", *(("diagnosis",) if diagnosed else ()), *SECTIONS, "not_measured")


def _parts(section: str, document: Document, translate: Wording) -> list[dict[str, Any]]:
    """A section's parts as the template writes them."""
    return [
        {
            "tables": part.tables(document, translate),
            "remarks": part.remarks(document, translate),
            "title": part.title,
            "headed": part.headed,
        }
        for part in PARTS
        if part.section == section and part.only != "markdown"
    ]


def _head(document: Document, translate: Wording) -> dict[str, Any]:
    run = document["run"]
    return {
        "verdict": verdict_words(document, translate),
        "tone": tone(document),
        "tallies": tallies(document, translate),
        "equivalence": equivalence_line(document, translate),
        "partial": partial(document, translate),
        "judged": bool(document["verdicts"]),
        "state": document["state"],
        "under_test": _under_test(document),
        "started": translate.when(run["started"]),
        "ended": translate.when(run["ended"]),
        "profile": run["profile"],
        "version": run["versions"].get("pytest-gptoss", ""),
    }


def _under_test(document: Document) -> list[str]:
    """The devices under test, a line each; of a fleet what was found, since its nodes stand in the matrix."""
    fleet = fleet_part(document)
    if fleet is not None:
        return [fleet["finding"]]
    return [_named(each) for each in document["devices"] if each["role"] == "npu"]


def _fleet(document: Document, translate: Wording) -> dict[str, Any]:
    """The matrix of a fleet's nodes: those that something stands against, the others, and remarks."""
    tables = fleet_tables(document, translate)
    if tables is None:
        return {"fleet": None}
    first, others = tables
    notes = [*fleet_notes(document, translate), *hidden_note(document, translate)]
    return {"fleet": {"first": first, "others": others, "notes": notes}}


def _named(device: Mapping[str, Json]) -> str:
    parts = (device["label"], device["model"], device["problem"])
    return shortened(f"{device['name']}: {', '.join(part for part in parts if part)}", LONGEST_NAME)


def _first(document: Document, found: Sequence[Finding], translate: Wording) -> dict[str, Any]:
    passed = [row for row in document["verdicts"] if row["verdict"] == "PASS"]
    return {
        "attention": [
            {
                "status": each.status,
                "cell": Cell(translate.word("status", each.status), status=each.status),
                "ids": [_id(row) for row in each.rows],
                "text": attention_text(each, translate),
                "advice": advice(found, each.rows),
            }
            for each in attention(document)
        ],
        "near": [{"id": _id(row), "text": sentence(row, translate)} for row in passed if close(row)],
        "changed": changed(document, translate),
        "unproven": [_id(row) for row in passed if row["proven"] is False],
    }


def _id(row: Mapping[str, Json]) -> str:
    return f"{row['npu']}-{row['threshold_id']}"


def _drawings(document: Document, translate: Wording, next_id: Callable[[], int]) -> dict[str, Any]:
    """What the page draws beside the tables, by section."""
    colours = hues(document)
    needle = needle_chart(document, translate)
    return {
        "precision_charts": [
            _drawn(precision_charts(document, npu, translate), colours, translate, next_id)
            for npu in npus(document)
        ],
        "diffs": [_diffs(document, npu, translate) for npu in npus(document)],
        "heats": heats(document, translate),
        "needle_charts": _drawn([] if needle is None else [needle], colours, translate, next_id),
        "load_charts": _drawn(load_charts(document, translate), colours, translate, next_id),
        "capacity_charts": _drawn(capacity_charts(document, translate), colours, translate, next_id),
    }


def _drawn(
    charts: Sequence[Chart], colours: Mapping[str, str], translate: Wording, next_id: Callable[[], int]
) -> list[dict[str, Any]]:
    if not charts:
        return []
    from pytest_gptoss.report.drawing import svg

    return [
        {
            "id": f"plot-{chart.name}-{number}",
            "title": chart.title,
            "note": chart.note,
            "svg": _ours(svg(chart, colours, number=number, alt=chart.alt(translate))),
            "table": chart_table(chart, translate),
        }
        for number, chart in ((next_id(), chart) for chart in charts)
    ]


def _diffs(document: Document, npu: str, translate: Wording) -> dict[str, Any]:
    """The answers that fork, token by token, and how many of them are not shown."""
    with_diff = [prompt for prompt in forks(document, npu) if prompt.get("diff")]
    return {
        "shown": [_diff(prompt, npu, translate) for prompt in with_diff[:MOST_DIFFS]],
        "more": max(0, len(with_diff) - MOST_DIFFS),
    }


def _diff(prompt: Mapping[str, Json], npu: str, translate: Wording) -> dict[str, Any]:
    fork, diff = prompt["fork"], prompt["diff"]
    title = translate(
        "diff.title", prompt=prompt["id"], index=fork["index"], kind=translate.word("kind", fork["kind"])
    )
    if fork["margin"] is not None:
        title += "; " + translate("diff.margin", margin=translate.figure(fork["margin"]))
    return {
        **diff,
        "title": title,
        "npu_name": npu,
        "gpu_name": "gpu",
        "listed": _listed(diff, npu, translate),
    }


def _listed(diff: Mapping[str, Json], npu: str, translate: Wording) -> Table:
    """The likeliest tokens of both devices at the fork, side by side."""
    sides = [diff["npu"]["listed"], diff["gpu"]["listed"]]
    rows = []
    for rank in range(max(map(len, sides))):
        cells = [Cell(str(rank + 1), figure=True)]
        for side in sides:
            token = side[rank] if rank < len(side) else None
            cells.append(Cell(visible(token["text"]) if token else ""))
            cells.append(Cell(translate.figure(token["logprob"] if token else None), figure=True))
        rows.append(tuple(cells))
    head = ["#"]
    for device in (npu, "gpu"):
        head += [translate("head.listed_npu", device=device), "nat"]
    return Table("listed", "", tuple(head), tuple(rows))


FORMAT = Format(
    name="html", file="acceptance.html", render=lambda source: html(source.document, source.language)
)
