"""``pytest-gptoss benchmark``: judge an NPU's latency and throughput under load."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.accepting import PASSED_ON, accept, passed_on
from pytest_gptoss.cli.command import Command
from pytest_gptoss.model.load_names import TRACE, level_name, rate_name

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    parser.add_argument("--num-requests", metavar="N", help="requests of every level (default: by level)")
    parser.add_argument("--max-tokens", metavar="N", help="output tokens a request (default: by level)")
    parser.add_argument("--concurrency", metavar="LIST", help="levels; their rows alone (default 1,4,8,16)")
    parser.add_argument("--rate", metavar="LIST", help="open levels, requests a second; their rows alone")
    parser.add_argument("--output", metavar="FILE", default="benchmark_report.json", help="the JSON report")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    opened = _open_levels(known.rate, rest)
    given = {
        "--npu-url": known.api_url,
        "--gptoss-num-requests": known.num_requests,
        "--gptoss-max-tokens": known.max_tokens,
        "--gptoss-concurrency": known.concurrency or _least(opened, rest),
        "--gptoss-rate": known.rate,
    }
    arguments = [*_rows_of(known.concurrency or "", opened), *rest]
    return accept("performance", "benchmark_report.json", given, arguments, output=Path(known.output))


def _least(opened: Sequence[str], rest: Sequence[str]) -> str | None:
    """The smallest closed level where open ones alone are named: it is not measured, and no larger one asks
    for more requests than the open ones have. None leaves the profile's.
    """
    return "1" if opened and passed_on("--gptoss-concurrency", rest) is None else None


def _open_levels(rates: str | None, rest: Sequence[str]) -> list[str]:
    """The open levels that are named, here or among the options that are passed on."""
    parts = (rates or passed_on("--gptoss-rate", rest) or "").split(",")
    named = [rate_name(float(part)) for part in map(str.strip, parts) if re.fullmatch(r"[0-9.]+", part)
             and part.count(".") <= 1 and part != "."]  # fmt: skip
    return [*named, *([] if passed_on("--gptoss-trace", rest) is None else [TRACE])]


def _rows_of(levels: str, named: Sequence[str]) -> list[str]:
    """Pytest's arguments that select the rows of the levels named; none where no level is."""
    parts = [part.strip() for part in levels.split(",")]
    closed = [level_name(int(part)) for part in parts if part.isascii() and part.isdigit()]
    chosen = [f".{level}]" for level in (*closed, *named)]
    return ["-k", " or ".join(chosen)] if chosen else []


COMMAND = Command(
    "benchmark",
    "judge an NPU's latency and throughput under load",
    _add_arguments,
    _run,
    description=PASSED_ON,
    passes_on=True,
)
