"""What a subcommand is: its name, its arguments and what runs it, beside each other in one file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "Command"]

FAILED, USAGE, INTERRUPTED = 1, 4, 130
"""Exit statuses beside 0."""


@dataclass(frozen=True)
class Command:
    """A subcommand. ``run`` gets the parsed arguments and those it does not know; it returns the exit status.

    ``passes_on``: unknown arguments are pytest's and the plugin's; otherwise they are usage errors and
    ``run`` gets none.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Sequence[str]], int]
    description: str | None = None
    passes_on: bool = False
    takes_flags: tuple[str, ...] = ()
    """Options whose value may be a flag of another program: ``--flag --x`` is read as ``--flag=--x``."""
