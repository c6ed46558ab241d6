"""``acceptance.md``: the guide's empty result tables, filled, in English or Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.diagnosis import diagnosis
from pytest_gptoss.report.equivalence import equivalence_line
from pytest_gptoss.report.fleet import fleet_notes, hidden_note
from pytest_gptoss.report.format import Format
from pytest_gptoss.report.headline import (
    attention,
    attention_text,
    changed,
    close,
    counts,
    partial,
    sentence,
    tone,
    verdict_words,
)
from pytest_gptoss.report.sections import PARTS, Part
from pytest_gptoss.report.shown_nodes import fleet_part, shown_part
from pytest_gptoss.report.spoken import spoken
from pytest_gptoss.report.tables.fleet import fleet_tables
from pytest_gptoss.report.tables.rows import nothing
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.wording import Wording

__all__ = ["FORMAT", "MARKS", "markdown"]

Document = Mapping[str, Json]

MARKS: Mapping[str, str] = {
    "PASS": "✅", "FAIL": "❌", "INVALID": "⚠️", "WAIVED": "➖", "SKIPPED": "➖", "OPEN": "⬜", "SHOWN": "⬜",
}  # fmt: skip

LONGEST_CELL = 1000
"""Characters of a cell; the whole text is in acceptance.json."""
MOST_ROWS = 50
"""Rows of a long table."""

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_AT_START = re.compile(r"^([#+=>-])|^([0-9]+)([.)])(?=\s)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?[0-9A-Za-z]+;)")


def markdown(document: Document, language: Language = "en") -> str:
    """The report document as Markdown."""
    whole = spoken(document, language)
    document = shown_part(whole)
    translate = Wording(language)
    parts = [
        *_head(whole, translate),
        *_fleet(whole, translate),
        *_attention(document, translate),
        *(each for part in PARTS if part.only != "page" for each in _part(part, document, translate)),
    ]
    return "\n\n".join(parts) + "\n"


def _head(document: Document, translate: Wording) -> Iterator[str]:
    yield f"# {translate('title')}"
    yield f"**{MARKS[tone(document)]} {_text(verdict_words(document, translate))}**"
    evidence = equivalence_line(document, translate)
    if evidence is not None:
        yield _text(evidence)
    if document["state"] != "running":
        yield _text(counts(document, translate))
    whole = partial(document, translate)
    if whole is not None:
        yield f"**{_text(whole)}**"
    yield _text(translate(f"state.{document['state']}"))
    yield _text(translate("legend"))


def _fleet(document: Document, translate: Wording) -> Iterator[str]:
    """The matrix of a fleet's nodes; of many nodes those that nothing stands against are counted."""
    fleet, tables = fleet_part(document), fleet_tables(document, translate)
    if fleet is None or tables is None:
        return
    first, others = tables
    yield f"## {_text(first.caption)}"
    yield _paragraph(fleet["finding"])
    if first.rows:
        yield _table(first, len(first.rows))
    if others.rows:
        yield _paragraph(f"{others.caption}.")
    notes = [*fleet_notes(document, translate), *hidden_note(document, translate)]
    yield from map(_paragraph, notes)


def _attention(document: Document, translate: Wording) -> Iterator[str]:
    yield f"## {translate('section.attention')}"
    lines = []
    for each in attention(document):
        ids = ", ".join(f"`{_code(row)}`" for row in each.rows)
        lines.append(f"- {MARKS[each.status]} {ids}: {_text(attention_text(each, translate))}")
    passed = [row for row in document["verdicts"] if row["verdict"] == "PASS"]
    for row in filter(close, passed):
        near = translate("near.close", row=f"`{_code(row)}`", sentence=_text(sentence(row, translate)))
        lines.append(f"- {MARKS['PASS']} {near}")
    other = changed(document, translate)
    if other is not None:
        lines.append(f"- {MARKS['WAIVED']} {_text(other)}")
    unproven = [f"`{_code(row)}`" for row in passed if row["proven"] is False]
    if unproven:
        lines.append(f"- {MARKS['PASS']} {translate('near.unproven', rows=', '.join(unproven))}")
    empty = "attention" if document["verdicts"] else "judged"
    yield "\n".join(lines) if lines else nothing(document, empty, translate)
    yield from _diagnosis(document, translate)


def _diagnosis(document: Document, translate: Wording) -> Iterator[str]:
    found = diagnosis(document, translate)
    if found:
        yield f"## {translate('section.diagnosis')}"
        yield "\n".join(f"- {_paragraph(each.text)}" for each in found)


def _part(part: Part, document: Document, translate: Wording) -> Iterator[str]:
    for table in part.tables(document, translate):
        yield from _section(table, translate)
    remarks = part.remarks(document, translate)
    if part.title and remarks:
        yield f"## {translate(part.title)}"
        yield "\n".join(f"- {_paragraph(each)}" for each in remarks)
    else:
        yield from map(_paragraph, remarks)


def _section(table: Table, translate: Wording) -> Iterator[str]:
    """A table below its heading, or what stands in the place of one without rows."""
    if not table.rows and not table.empty:
        return
    yield f"{'###' if table.minor else '##'} {_text(table.caption)}"
    most = MOST_ROWS if table.long else len(table.rows)
    yield _table(table, most) if table.rows else table.empty
    if len(table.rows) > most:
        yield translate("more", count=len(table.rows) - most)


def _table(table: Table, most: int) -> str:
    rows = table.rows[:most]
    figures = [all(row[column].figure for row in rows) for column in range(len(table.head))]
    lines = [
        _line(_text(each) for each in table.head),
        _line("---:" if figure else "---" for figure in figures),
        *(_line(map(_cell, row)) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Iterator[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = _text(cell.text)
    return text if cell.status is None else f"{MARKS[cell.status]} {text}"


def _text(text: str) -> str:
    """Text as Markdown shows it inside a line, whatever stands in it: no markup, no HTML, one line."""
    safe = _MARKUP.sub(r"\\\1", printable(shortened(text, LONGEST_CELL)))
    return _TAG.sub("&lt;", _ENTITY.sub("&amp;", safe))


def _paragraph(text: str) -> str:
    """The same at the beginning of a line, where it could begin a heading, a list or a quotation."""
    return _AT_START.sub(
        lambda found: f"{found[2]}\\{found[3]}" if found[2] else f"\\{found[1]}", _text(text)
    )


def _code(row: Mapping[str, Json]) -> str:
    return f"{row['npu']}-{row['threshold_id']}".replace("`", "'")


FORMAT = Format(
    name="md", file="acceptance.md", render=lambda source: markdown(source.document, source.language)
)
