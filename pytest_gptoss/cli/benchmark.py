"""``pytest-gptoss benchmark``: judge an NPU's latency and throughput under load."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.accepting import PASSED_ON, accept
from pytest_gptoss.cli.command import Command
from pytest_gptoss.model.load_names import level_name

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    parser.add_argument("--num-requests", metavar="N", help="requests of every level (default: by level)")
    parser.add_argument("--max-tokens", metavar="N", help="output tokens a request (default: by level)")
    parser.add_argument("--concurrency", metavar="LIST", help="levels; their rows alone (default 1,4,8,16)")
    parser.add_argument("--output", metavar="FILE", default="benchmark_report.json", help="the JSON report")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {
        "--npu-url": known.api_url,
        "--gptoss-num-requests": known.num_requests,
        "--gptoss-max-tokens": known.max_tokens,
        "--gptoss-concurrency": known.concurrency,
    }
    arguments = [*_rows_of(known.concurrency or ""), *rest]
    return accept("performance", "benchmark_report.json", given, arguments, output=Path(known.output))


def _rows_of(levels: str) -> list[str]:
    """Pytest's arguments that select the rows of these levels; none where no level is named."""
    parts = [part.strip() for part in levels.split(",")]
    named = [f".{level_name(int(part))}]" for part in parts if part.isascii() and part.isdigit()]
    return ["-k", " or ".join(named)] if named else []


COMMAND = Command(
    "benchmark",
    "judge an NPU's latency and throughput under load",
    _add_arguments,
    _run,
    description=PASSED_ON,
    passes_on=True,
)
