"""The option ``--ledger`` of the commands that read or write a ledger."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn

from pytest_gptoss.config.options import OPTION
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.ledger_target import LedgerTarget, read_target

__all__ = ["add_ledger_option", "named_ledger"]

_OPTION = OPTION["ledger"]


def add_ledger_option(parser: argparse.ArgumentParser) -> None:
    """Let a command take ``--ledger``."""
    parser.add_argument(
        "--ledger",
        metavar=_OPTION.metavar,
        help=f"the ledger: a SQLite file or a PostgreSQL URL (default: {_OPTION.env} of the environment)",
    )


def named_ledger(known: argparse.Namespace) -> LedgerTarget:
    """The ledger that a command line or the environment names; raises UsageError where neither does."""
    text = known.ledger or os.environ.get(_OPTION.env)
    if not text:
        _none_named()
    return read_target(text)


def _none_named() -> NoReturn:
    raise UsageError(f"no ledger is named: add --ledger FILE|URL, or set {_OPTION.env}")
