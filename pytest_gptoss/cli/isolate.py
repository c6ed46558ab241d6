"""``pytest-gptoss isolate``: which setting of a serve line makes a failure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, Command
from pytest_gptoss.cli.numbers import number, whole_number
from pytest_gptoss.model.errors import UsageError

__all__ = ["COMMAND"]

FLAKY = 3
"""Exit status beside those of all commands: the failure is random."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serve", required=True, metavar="COMMAND", help="the serve line that fails, with {port}"
    )
    parser.add_argument(
        "--flag", action="append", default=[], metavar="'FLAG VALUE'",
        help="a flag to suspect, '--max-num-seqs 8': taken out where it stands, else put in; repeats",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], metavar="VAR=VALUE",
        help="a variable to suspect: taken out where it is set so, put in where it is not; repeats",
    )  # fmt: skip
    parser.add_argument(
        "--probe",
        metavar="FILE",
        help="JSON: what the failure is (default: no start, or no answer to a greeting)",
    )
    parser.add_argument("--baseline", metavar="FILE", help="recorded baseline, for a threshold")
    parser.add_argument("--max-starts", default="12", metavar="N", help="most starts of it (default 12)")
    parser.add_argument(
        "--ready-timeout", default="600", metavar="S", help="longest wait for a start, seconds (default 600)"
    )
    parser.add_argument(
        "--output",
        default="gptoss-isolate",
        metavar="DIR",
        help="for results (default gptoss-isolate)",
    )


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    # Imported here: the other subcommands search nothing.
    from pytest_gptoss.isolate.probe import read_probe
    from pytest_gptoss.isolate.procedure import RESULT, run_procedure
    from pytest_gptoss.isolate.trials import Failing
    from pytest_gptoss.model.serve_command import read_serve_command
    from pytest_gptoss.report.spoken import chinese_templates

    try:
        command = read_serve_command(known.serve)
    except UsageError as error:
        raise UsageError(f"--serve: {error}") from None
    probe = read_probe(Path(known.probe) if known.probe else None)
    baseline = Path(known.baseline) if known.baseline else None
    timeout = number("--ready-timeout", known.ready_timeout, above=0, most=86_400)
    output = Path(known.output)
    finding = run_procedure(
        Failing(command, probe, baseline, timeout),
        flags=known.flag,
        variables=known.env,
        most=whole_number("--max-starts", known.max_starts, most=1000),
        output=output,
        tell=print,
        chinese=chinese_templates(),
    )
    print(f"{finding.verdict}: {', '.join(finding.changes) or finding.why}; see {output / RESULT}.md")
    return {"found": 0, "flaky": FLAKY}.get(finding.verdict, FAILED)


COMMAND = Command(
    "isolate", "find the setting of a serve line that makes a failure", _add_arguments, _run,
    description="Exit status: 0 found, 1 not found, 3 flaky, 4 usage, 130 interrupted.",
    takes_flags=("--flag",),
)  # fmt: skip
