"""Two compared runs as lines for a terminal and as Markdown, in the reader's language, and as JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from pytest_gptoss.judge.figures import number
from pytest_gptoss.judge.verdicts import PLAIN_UNITS
from pytest_gptoss.ledger.comparison import Compared, Comparison, Difference
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.message import Message
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.spoken import in_chinese
from pytest_gptoss.report.terminal import columns
from pytest_gptoss.report.wording import Wording

__all__ = ["as_json", "as_markdown", "as_text"]

_COLUMNS = ("row", "old", "new", "difference", "interval", "change")
_LONGEST = 100


def as_json(compared: Compared) -> dict[str, Json]:
    """The comparison as a JSON document; its ``version`` grows with any change that a reader could notice."""
    document: dict[str, Json] = finite({"version": 1, **asdict(compared)})
    return document


def as_text(compared: Compared, language: Language = "en") -> str:
    """The comparison for a terminal, ending in a line break: differences, rows, rows left out, the sum."""
    words = Wording(language)
    lines = [*_runs(compared, words), ""]
    lines += [
        words("compare.differs", what=_whole(each.what, words), turned=_turned(each, words))
        for each in compared.differences
    ]
    if compared.differences:
        lines.append("")
    lines += _aligned([_head(words), *(_cells(each, words) for each in compared.rows)])
    lines += [
        words("compare.left_out", row=f"{each.device}-{each.threshold_id}", reason=_said(each.reason, words))
        for each in compared.left_out
    ]
    return "\n".join(printable(line) for line in [*lines, _sum(compared, words)]) + "\n"


def as_markdown(compared: Compared, language: Language = "en") -> str:
    """The comparison as a Markdown page."""
    words = Wording(language)
    title = words("compare.title", old=compared.old_run, new=compared.new_run)
    lines = [f"# {_escaped(title)}", "", _sum(compared, words), ""]
    if compared.differences:
        head = [words(f"column.{name}") for name in ("what", "old", "new")]
        differing = [
            [_whole(row.what, words), _said(row.old, words), _said(row.new, words)]
            for row in compared.differences
        ]
        lines += [f"## {words('compare.title.differs')}", "", *_table(head, differing), ""]
    rows = [_cells(each, words) for each in compared.rows]
    lines += [f"## {words('compare.title.rows')}", "", *_table(_head(words), rows), ""]
    if compared.left_out:
        head = [words(f"column.{name}") for name in ("row", "why")]
        left_out = [
            [f"{each.device}-{each.threshold_id}", _whole(each.reason, words)] for each in compared.left_out
        ]
        lines += [f"## {words('compare.title.left_out')}", "", *_table(head, left_out), ""]
    return "\n".join(lines)


def _runs(compared: Compared, words: Wording) -> Iterator[str]:
    yield words("compare.old", run=compared.old_run)
    yield words("compare.new", run=compared.new_run)


def _head(words: Wording) -> list[str]:
    return [words(f"column.{name}") for name in _COLUMNS]


def _sum(compared: Compared, words: Wording) -> str:
    counts = Counter(each.change for each in compared.rows)
    return words(
        "compare.sum",
        better=counts["better"],
        worse=counts["worse"],
        same=counts["same"],
        cannot_tell=counts["cannot tell"],
        left_out=len(compared.left_out),
    )


def _cells(row: Comparison, words: Wording) -> tuple[str, ...]:
    unit = "" if row.unit in PLAIN_UNITS else f" {words.word('unit', row.unit)}"
    return (
        f"{row.device}-{row.threshold_id}",
        number(row.old, apart_from=row.new),
        number(row.new, apart_from=row.old) + unit,
        number(row.difference),
        _interval(row, words),
        _change(row, words),
    )


def _interval(row: Comparison, words: Wording) -> str:
    if row.interval is None:
        return words("compare.none")
    low, high = map(number, row.interval)
    return words("compare.interval", low=low, high=high)


def _change(row: Comparison, words: Wording) -> str:
    change = words(f"change.{row.change}")
    if row.old_verdict == row.new_verdict:
        return change
    old, new = (words.word("status", each) for each in (row.old_verdict, row.new_verdict))
    return words("compare.turned", change=change, old=old, new=new)


def _turned(each: Difference, words: Wording) -> str:
    return f"{_said(each.old, words)} -> {_said(each.new, words)}"


def _said(value: str | None, words: Wording) -> str:
    return words("compare.absent") if value is None else shortened(_whole(value, words), _LONGEST)


def _whole(text: str, words: Wording) -> str:
    """A text in the reader's language, where it is one of ours."""
    return in_chinese(text) if words.language == "zh" and isinstance(text, Message) else text


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_escaped, row))} |"


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", printable(text))
