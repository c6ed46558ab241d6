"""``pytest-gptoss report``: render a stored run again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import Command
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.files import FORMATS, read_document, write_reports

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the run's reports")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of Markdown and HTML")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        action="append",
        help="html, md, json (the parts in the form of the guide's scripts) or junit; may be repeated "
        "(default: html and md)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: the same place)")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    output = known.output or known.directory
    formats = dict.fromkeys(known.format or ("html", "md"))
    for name in write_reports(output, read_document(known.directory), formats=formats, language=known.lang):
        print(output / name)
    if "json" in formats:
        print(
            "pytest-gptoss: benchmark_report.json is written by a run alone: it lists every request with its "
            "stamps, which acceptance.json does not hold",
            file=sys.stderr,
        )
    return 0


COMMAND = Command("report", "render a stored run again, from its acceptance.json", _add_arguments, _run)
