"""``pytest-gptoss history``: rows over the runs of a ledger, with change points and versions marked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_gptoss.cli.command import Command
from pytest_gptoss.cli.history_plot import plot
from pytest_gptoss.cli.ledger_option import add_ledger_option, named_ledger
from pytest_gptoss.cli.output_file import refuse_unwritable
from pytest_gptoss.judge.figures import number
from pytest_gptoss.ledger.history import Series, histories
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.model.printable import printable
from pytest_gptoss.report.wording import Wording

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--row", metavar="ID", default="", help="a threshold's id (default: contract rows)")
    parser.add_argument(
        "--device", metavar="NAME", default="", help="a device's label or name (default: all)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="plot it too, as .png, .svg or .pdf")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of what is printed")
    add_ledger_option(parser)


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    if known.output is not None:
        refuse_unwritable(known.output)
    found = histories(named_ledger(known), row=known.row, device=known.device)
    if not found:
        raise UsageError(
            "no run of the ledger has a figure of that row and device: pytest-gptoss ledger list names the "
            "runs, a report's table its rows"
        )
    for series in found:
        for line in _lines(series, Wording(known.lang)):
            print(printable(line))
    if known.output is not None:
        plot(found, known.output)
    return 0


def _lines(series: Series, words: Wording) -> Iterator[str]:
    changes, versions = series.changes(), series.version_changes()
    yield words("history.heading", name=series.name, n=len(series.points))
    for index, point in enumerate(series.points):
        marks = []
        if index in changes:
            marks.append(words("history.change"))
        if index in versions:
            marks.append(words("history.version", version=point.version))
        if point.confirmed:
            marks.append(words("history.confirmed"))
        figure = f"{number(point.value)} {words.word('unit', series.unit)}"
        verdict = words.word("status", point.verdict)
        told = f"  {point.started[:16]}  {point.run_id}  {figure:<18} {verdict:<7} "
        yield f"{told}{', '.join(marks)}".rstrip()
    yield ""


COMMAND = Command("history", "rows over the runs of a ledger, change points marked", _add_arguments, _run)
"""A change point is the run with which a new level begins, better or worse."""
