"""``pytest-gptoss ledger``: runs added to a ledger, confirmed, and listed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_gptoss.cli.command import Command
from pytest_gptoss.cli.ledger_option import add_ledger_option, named_ledger
from pytest_gptoss.ledger.finding import entry_named, runs
from pytest_gptoss.ledger.records import RunRecord
from pytest_gptoss.ledger.storing import add_run, confirm_run
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.ledger_target import LedgerTarget
from pytest_gptoss.report.files import read_document

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=tuple(_ACTIONS), help="what to do")
    parser.add_argument(
        "what",
        nargs="*",
        metavar="DIR|RUN",
        help="report directories to add, or runs (id, last, last-accepted) whose change is meant",
    )
    add_ledger_option(parser)


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    target = named_ledger(known)
    _ACTIONS[known.action](target, known.what)
    return 0


def _add(target: LedgerTarget, what: Sequence[str]) -> None:
    if not what:
        raise UsageError("ledger add: name the report directory of a run: pytest-gptoss ledger add DIR")
    for directory in what:
        run, new = add_run(target, read_document(Path(directory)))
        print(f"run {run.run_id} of {directory}: {'added' if new else 'already there'}")


def _confirm(target: LedgerTarget, what: Sequence[str]) -> None:
    if not what:
        raise UsageError("ledger confirm: name a run: pytest-gptoss ledger confirm RUN")
    for name in what:
        run = entry_named(target, name).run
        confirm_run(target, run.run_id)
        print(f"run {run.run_id}: confirmed; trends begin with it")


def _list(target: LedgerTarget, what: Sequence[str]) -> None:
    if what:
        raise UsageError(f"ledger list takes no {what[0]}: it lists every run")
    for run in runs(target):
        print(_line(run))


def _line(run: RunRecord) -> str:
    notes = []
    if run.replay_of is not None:
        notes.append(f"replay of {run.replay_of}")
    if run.changed_limits:
        notes.append(f"limits changed: {run.changed_limits}")
    if run.confirmed is not None:
        notes.append("confirmed")
    told = f"{run.run_id}  {run.started[:19]}Z  {run.state:<11}  {run.verdict:<14}  {run.profile}"
    return f"{told}  ({'; '.join(notes)})" if notes else told


_ACTIONS: Mapping[str, Callable[[LedgerTarget, Sequence[str]], None]] = {
    "add": _add,
    "confirm": _confirm,
    "list": _list,
}

COMMAND = Command("ledger", "runs in a ledger: add, confirm, list", _add_arguments, _run)
"""``list`` shows the oldest run first."""
