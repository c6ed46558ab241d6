"""``pytest-gptoss verify-precision``: judge the precision thresholds of an NPU against a GPU."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.accepting import PASSED_ON, accept
from pytest_gptoss.cli.command import Command

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--npu-url", required=True, metavar="URL", help="server under test")
    parser.add_argument("--gpu-url", metavar="URL", help="baseline server (or --gptoss-baseline FILE)")
    parser.add_argument("--test-prompts", metavar="FILE", help="prompts: a JSON list (default: shipped set)")
    parser.add_argument("--output", metavar="FILE", default="precision_report.json", help="the JSON report")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {"--npu-url": known.npu_url, "--gpu-url": known.gpu_url, "--gptoss-prompts": known.test_prompts}
    return accept("precision", "precision_report.json", given, rest, output=Path(known.output))


COMMAND = Command(
    "verify-precision",
    "judge the precision thresholds of an NPU against a GPU",
    _add_arguments,
    _run,
    description=PASSED_ON,
    passes_on=True,
)
