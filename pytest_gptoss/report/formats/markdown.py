"""``acceptance.md``: the guide's empty result tables, filled, in English or Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.configurations import (
    configuration_finding,
    configuration_table,
    server_fact_table,
)
from pytest_gptoss.report.diagnosis import diagnosis
from pytest_gptoss.report.features import feature_table
from pytest_gptoss.report.format import Format
from pytest_gptoss.report.headline import (
    attention,
    changed,
    close,
    counts,
    partial,
    sentence,
    told,
    tone,
    verdict_words,
)
from pytest_gptoss.report.instrument import uncalibrated
from pytest_gptoss.report.load_tables import instrument_table, load_tables
from pytest_gptoss.report.tables import (
    Cell,
    Table,
    change_table,
    device_table,
    fact_table,
    fork_table,
    forks,
    limit_notes,
    needle_table,
    needle_task,
    not_measured_table,
    notes,
    nothing,
    npus,
    precision_table,
    scenario_table,
    skipped_table,
    verdict_table,
    waiver_table,
)
from pytest_gptoss.report.wording import Wording

__all__ = ["FORMAT", "MARKS", "markdown"]

Document = Mapping[str, Json]

MARKS: Mapping[str, str] = {
    "PASS": "✅", "FAIL": "❌", "INVALID": "⚠️", "WAIVED": "➖", "SKIPPED": "➖", "OPEN": "⬜", "SHOWN": "⬜",
}  # fmt: skip

LONGEST_CELL = 1000
"""Characters of a cell; the whole text is in acceptance.json."""
MOST_FORKS = 50

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_AT_START = re.compile(r"^([#+=>-])|^([0-9]+)([.)])(?=\s)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?[0-9A-Za-z]+;)")


def markdown(document: Document, language: Language = "en") -> str:
    """The report document as Markdown."""
    say = Wording(language)
    parts = [
        *_head(document, say),
        *_attention(document, say),
        *_results(document, say),
        *_background(document, say),
    ]
    return "\n\n".join(parts) + "\n"


def _head(document: Document, say: Wording) -> Iterator[str]:
    yield f"# {say('title')}"
    yield f"**{MARKS[tone(document)]} {_text(verdict_words(document, say))}**"
    if document["state"] != "running":
        yield _text(counts(document, say))
    whole = partial(document, say)
    if whole is not None:
        yield f"**{_text(whole)}**"
    yield _text(say(f"state.{document['state']}"))
    yield _text(say("legend"))


def _attention(document: Document, say: Wording) -> Iterator[str]:
    yield f"## {say('section.attention')}"
    lines = []
    for each in attention(document):
        ids = ", ".join(f"`{_code(row)}`" for row in each.rows)
        lines.append(f"- {MARKS[each.status]} {ids}: {_text(told(each, say))}")
    passed = [row for row in document["verdicts"] if row["verdict"] == "PASS"]
    for row in filter(close, passed):
        near = say("near.close", row=f"`{_code(row)}`", sentence=_text(sentence(row, say)))
        lines.append(f"- {MARKS['PASS']} {near}")
    other = changed(document, say)
    if other is not None:
        lines.append(f"- {MARKS['WAIVED']} {_text(other)}")
    unproven = [f"`{_code(row)}`" for row in passed if row["proven"] is False]
    if unproven:
        lines.append(f"- {MARKS['PASS']} {say('near.unproven', rows=', '.join(unproven))}")
    empty = "attention" if document["verdicts"] else "judged"
    yield "\n".join(lines) if lines else nothing(document, empty, say)
    yield from _diagnosis(document, say)


def _diagnosis(document: Document, say: Wording) -> Iterator[str]:
    found = diagnosis(document, say)
    if found:
        yield f"## {say('section.diagnosis')}"
        yield "\n".join(f"- {_paragraph(each.text)}" for each in found)


def _results(document: Document, say: Wording) -> Iterator[str]:
    for npu in npus(document):
        yield from _section(precision_table(document, npu, say), say("nothing.measured"))
        forked = fork_table(document, npu, say, most=MOST_FORKS)
        if forked.rows:
            yield from _section(forked, level=3)
            more = len(forks(document, npu)) - len(forked.rows)
            if more:
                yield say("more", count=more)
    yield from (_paragraph(note) for note in limit_notes(document, say))
    for npu in npus(document):
        yield from _section(needle_table(document, npu, say), say("nothing.measured"))
    task = needle_task(document, say)
    if task is not None:
        yield _paragraph(task)
    for each in load_tables(document, say):
        yield from _section(each)
    for npu in npus(document):
        yield from _section(feature_table(document, npu, say), say("nothing.measured"))
    matrix = configuration_table(document, say)
    if matrix.rows:
        yield from _section(matrix)
        yield _paragraph(configuration_finding(document) or "")


def _background(document: Document, say: Wording) -> Iterator[str]:
    for npu in npus(document):
        yield from _section(verdict_table(document, npu, say), say("nothing.measured"))
    yield from _section(device_table(document, say), say("nothing.measured"))
    known = server_fact_table(document, say)
    if known.rows:
        yield from _section(known, level=3)
    yield from _section(change_table(document, say), say("nothing.changes"))
    yield from _section(waiver_table(document, say), say("nothing.waivers"))
    skipped = skipped_table(document, say)
    if skipped.rows:
        yield from _section(skipped)
    yield from _section(not_measured_table(document, say), nothing(document, "not_measured", say))
    yield from _section(scenario_table(document, say), nothing(document, "scenarios", say))
    remarks = notes(document)
    if remarks:
        yield f"## {say('section.notes')}"
        yield "\n".join(f"- {_paragraph(note)}" for note in remarks)
    yield from _section(instrument_table(document, say), say("nothing.measured"))
    yield from (_paragraph(say("instrument.problem", problem=each)) for each in uncalibrated(document))
    yield from _section(fact_table(document, say), say("nothing.measured"))


def _section(table: Table, empty: str = "", *, level: int = 2) -> Iterator[str]:
    """A table below its heading; ``empty`` stands in the place of one without rows."""
    yield f"{'#' * level} {_text(table.caption)}"
    yield _table(table) if table.rows else empty


def _table(table: Table) -> str:
    figures = [all(row[column].figure for row in table.rows) for column in range(len(table.head))]
    lines = [
        _line(_text(each) for each in table.head),
        _line("---:" if figure else "---" for figure in figures),
        *(_line(map(_cell, row)) for row in table.rows),
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
