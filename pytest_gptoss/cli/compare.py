"""``pytest-gptoss compare``: two runs side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, Command
from pytest_gptoss.cli.comparison_text import as_json, as_markdown, as_text
from pytest_gptoss.cli.ledger_option import add_ledger_option, named_ledger
from pytest_gptoss.cli.output_file import refuse_unwritable
from pytest_gptoss.ledger.comparison import compare
from pytest_gptoss.ledger.entry import entry_of
from pytest_gptoss.ledger.finding import entry_named
from pytest_gptoss.ledger.records import Entry, RunRecord
from pytest_gptoss.model.atomic_files import write_text
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.files import read_document

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, which in (("old", "earlier"), ("new", "later")):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help=f"the {which} run: a report directory, or of a ledger a run's id, last or last-accepted"
            + (", which mean runs before NEW" if name == "old" else ""),
        )
    add_ledger_option(parser)
    parser.add_argument("--fail-on-worse", action="store_true", help="exit 1 when a row became worse")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the comparison as Markdown too")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language of table and Markdown")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    if known.output is not None:
        refuse_unwritable(known.output)
    new = _entry(known.new, known)
    compared = compare(_entry(known.old, known, before=new.run), new)
    if known.output is not None:
        try:
            write_text(known.output, as_markdown(compared, known.lang))
        except OSError as error:
            raise UsageError(
                f"--output {known.output}: {error.strerror or error}; name another file"
            ) from error
    text = json.dumps(as_json(compared), indent=1) if known.json else as_text(compared, known.lang)
    print(text, end="")
    return FAILED if known.fail_on_worse and compared.worse else 0


def _entry(name: str, known: argparse.Namespace, before: RunRecord | None = None) -> Entry:
    """The run in a report directory, or the ledger's of this name; ``last`` ones are before the run given."""
    if Path(name).is_dir():
        return entry_of(read_document(Path(name)))
    return entry_named(named_ledger(known), name, before=before)


COMMAND = Command("compare", "two runs side by side: better, worse, same, cannot tell", _add_arguments, _run)
"""Exit status 1 with ``--fail-on-worse`` when a row became worse, and where a run cannot be read."""
