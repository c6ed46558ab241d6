"""The command ``pytest-gptoss``: thin fronts to the same checks that pytest runs.

Exit status: 0 all passed, 1 a failure or an INVALID, 3 flaky (isolate), 4 usage,
130 interrupted (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pytest_gptoss import __version__
from pytest_gptoss.cli import (
    benchmark,
    calibrate,
    capacity,
    compare,
    hidden,
    history,
    isolate,
    ledger,
    long_context,
    plan,
    report,
    verify_precision,
)
from pytest_gptoss.cli.command import FAILED, INTERRUPTED, USAGE, Command
from pytest_gptoss.model.errors import GptossError, UsageError
from pytest_gptoss.run.termination import Termination

__all__ = ["command_parser", "main"]

_COMMANDS: Mapping[str, Command] = {
    each.COMMAND.name: each.COMMAND
    for each in (
        verify_precision,
        long_context,
        report,
        benchmark,
        hidden,
        calibrate,
        capacity,
        plan,
        isolate,
        ledger,
        compare,
        history,
    )
}
"""The subcommands, in the order that ``--help`` lists them."""


class _Parser(argparse.ArgumentParser):
    """argparse with this product's exit status for a usage error, and with flags as values of options."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does; ``--flag --x`` of a command that ``takes_flags`` is read as ``--flag=--x``."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args(_with_flags_joined(given), namespace)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")

    def is_own(self, word: str) -> bool:
        """Whether a word is an option of this parser, with or without its value."""
        return word.partition("=")[0] in self._option_string_actions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status. SIGTERM interrupts it as Ctrl-C does."""
    known, rest = command_parser().parse_known_args(arguments)
    try:
        with Termination():
            return _run(_COMMANDS[known.command], known, rest)
    except UsageError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return USAGE
    except GptossError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(command: Command, known: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest and not command.passes_on:
        raise UsageError(f"unknown option {rest[0]}; see pytest-gptoss {command.name} --help")
    return command.run(known, rest)


def _with_flags_joined(arguments: Sequence[str]) -> list[str]:
    """``--flag --x`` as ``--flag=--x``, since argparse takes ``--x`` for an option, which it may not be."""
    command = _COMMANDS.get(arguments[0]) if arguments else None
    if command is None or not command.takes_flags:
        return list(arguments)
    parser = _Parser()
    command.add_arguments(parser)
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in command.takes_flags and word.startswith("-") and not parser.is_own(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, with a parser for each subcommand."""
    parser = _Parser(prog="pytest-gptoss", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for command in _COMMANDS.values():
        command.add_arguments(
            commands.add_parser(command.name, help=command.help, description=command.description)
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
