"""``pytest-gptoss long-context``: judge an NPU's recall of a needle in long texts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.accepting import PASSED_ON, accept
from pytest_gptoss.cli.command import Command

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    parser.add_argument("--max-context-len", metavar="N", help="longest context to test, tokens")
    parser.add_argument("--needle", metavar="TEXT", help="the sentence to find")
    parser.add_argument("--question", metavar="TEXT", help="the question about it")
    parser.add_argument(
        "--output", metavar="FILE", default="long_context_report.json", help="the JSON report"
    )


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {
        "--npu-url": known.api_url,
        "--gptoss-max-context-len": known.max_context_len,
        "--gptoss-needle": known.needle,
        "--gptoss-question": known.question,
    }
    return accept("needle", "long_context_report.json", given, rest, output=Path(known.output))


COMMAND = Command(
    "long-context",
    "judge an NPU's recall of a needle in long texts",
    _add_arguments,
    _run,
    description=PASSED_ON,
    passes_on=True,
)
