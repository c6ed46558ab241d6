"""``pytest-gptoss calibrate``: measure how far the load client itself is off on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, Command
from pytest_gptoss.cli.output_file import refuse_unwritable
from pytest_gptoss.config.options import DEFAULT_PROFILE

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help="profile with the levels and limits")
    parser.add_argument("--concurrency", metavar="LIST", help="levels (default: the profile's)")
    parser.add_argument("--short", action="store_true", help="2 s a level, as before a performance run")
    parser.add_argument("--output", metavar="FILE", help="write the figures as JSON")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    # Imported here: the other subcommands need no load client.
    from pytest_gptoss.cli.calibration_report import calibration_report, table

    if known.output is not None:
        refuse_unwritable(Path(known.output))
    report = calibration_report(
        profile=known.profile,
        concurrency=known.concurrency,
        short=known.short,
        tell=lambda text: print(text, file=sys.stderr),
    )
    print(table(report))
    if known.output is not None:
        Path(known.output).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        print(f"report: {known.output}")
    return 0 if report["fit"] else FAILED


COMMAND = Command(
    "calibrate",
    "measure how far the load client itself is off on this machine",
    _add_arguments,
    _run,
    description="Exit status: 0 fine enough for the profile's latency limits at every level (bias at "
    "most 5% of each), 1 too coarse for one, or not to be calibrated at all.",
)
