"""``pytest-gptoss report``: render a stored run again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import Command
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.files import read_document, write_reports
from pytest_gptoss.report.formats import format_names, formats

__all__ = ["COMMAND"]

_RENDERED_AGAIN = ("html", "md")
"""Report formats when none is named."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the run's reports")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of Markdown and HTML")
    parser.add_argument(
        "--format",
        choices=format_names(),
        action="append",
        help=f"{_offered()}; may be repeated (default: {' and '.join(_RENDERED_AGAIN)})",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: the same place)")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    output = known.output or known.directory
    names = dict.fromkeys(known.format or _RENDERED_AGAIN)
    for file in write_reports(output, read_document(known.directory), names=names, language=known.lang):
        print(output / file)
    for each in formats():
        if each.name in names and each.by_run_alone:
            print(
                f"pytest-gptoss: {each.file} is written by a run alone: {each.by_run_alone}", file=sys.stderr
            )
    return 0


def _offered() -> str:
    """The report formats in words: their names, and what each is where the name does not say it."""
    about = {each.name: each.about for each in reversed(formats()) if each.about}
    named = [f"{name} ({about[name]})" if name in about else name for name in format_names()]
    return f"{', '.join(named[:-1])} or {named[-1]}"


COMMAND = Command("report", "render a stored run again, from its acceptance.json", _add_arguments, _run)
