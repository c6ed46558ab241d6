"""Two compared runs as lines for a terminal, as Markdown and as JSON."""

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
from pytest_gptoss.model.printable import printable, shortened

__all__ = ["as_json", "as_markdown", "as_text"]

_HEAD = ("row", "old", "new", "difference", "95% interval", "change")
_LONGEST = 100
_ABSENT = "not told"


def as_json(compared: Compared) -> dict[str, Json]:
    """The comparison as a JSON document; its ``version`` grows with any change that a reader could notice."""
    document: dict[str, Json] = finite({"version": 1, **asdict(compared)})
    return document


def as_text(compared: Compared) -> str:
    """The comparison for a terminal, ending in a line break: differences, rows, rows left out, the sum."""
    lines = [f"old: {compared.old_run}", f"new: {compared.new_run}", ""]
    lines += [f"differs: {each.what}: {_turned(each)}" for each in compared.differences]
    if compared.differences:
        lines.append("")
    lines += _aligned([_HEAD, *map(_cells, compared.rows)])
    lines += [
        f"left out: {each.device}-{each.threshold_id}: {shortened(each.reason, _LONGEST)}"
        for each in compared.left_out
    ]
    return "\n".join(printable(line) for line in [*lines, _sum(compared)]) + "\n"


def as_markdown(compared: Compared) -> str:
    """The comparison as a Markdown page."""
    lines = [f"# {_escaped(compared.old_run)} and {_escaped(compared.new_run)}", "", _sum(compared), ""]
    if compared.differences:
        differing = [(each.what, _said(each.old), _said(each.new)) for each in compared.differences]
        lines += ["## What differs", "", *_table(("what", "old", "new"), differing), ""]
    lines += ["## Rows", "", *_table(_HEAD, map(_cells, compared.rows)), ""]
    if compared.left_out:
        left_out = [(f"{each.device}-{each.threshold_id}", each.reason) for each in compared.left_out]
        lines += ["## Left out", "", *_table(("row", "why"), left_out), ""]
    return "\n".join(lines)


def _sum(compared: Compared) -> str:
    counts = Counter(each.change for each in compared.rows)
    told = ", ".join(f"{counts[change]} {change}" for change in ("better", "worse", "same", "cannot tell"))
    return f"{told}; {len(compared.left_out)} not comparable"


def _cells(row: Comparison) -> tuple[str, ...]:
    turned = row.old_verdict != row.new_verdict
    unit = "" if row.unit in PLAIN_UNITS else f" {row.unit}"
    return (
        f"{row.device}-{row.threshold_id}",
        number(row.old, apart_from=row.new),
        number(row.new, apart_from=row.old) + unit,
        number(row.difference),
        "none" if row.interval is None else " to ".join(map(number, row.interval)),
        row.change + (f" ({row.old_verdict} to {row.new_verdict})" if turned else ""),
    )


def _turned(each: Difference) -> str:
    return f"{_said(each.old)} -> {_said(each.new)}"


def _said(value: str | None) -> str:
    return _ABSENT if value is None else shortened(value, _LONGEST)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_escaped, row))} |"


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", printable(text))
