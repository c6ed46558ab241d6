"""The command ``pytest-gptoss``: thin fronts to the same checks that pytest runs.

Exit status: 0 all passed, 1 a failure or an INVALID, 4 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pytest_gptoss import __version__
from pytest_gptoss.errors import GptossError, UsageError

__all__ = ["main"]

USAGE, INTERRUPTED = 4, 130

_PASSED_ON = "Options that are not listed here are pytest's and the plugin's, and are passed on."


class _Parser(argparse.ArgumentParser):
    """argparse with this product's exit status for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status."""
    known, rest = _parser().parse_known_args(arguments)
    try:
        if known.command == "hidden":
            return _hidden(known, rest)
        if known.command == "long-context":
            return _long_context(known, rest)
        return _verify_precision(known, rest)
    except UsageError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return USAGE
    except GptossError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pytest-gptoss", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    verify = commands.add_parser(
        "verify-precision",
        help="judge the precision thresholds of an NPU against a GPU",
        description=_PASSED_ON,
    )
    verify.add_argument("--npu-url", required=True, metavar="URL", help="server under test")
    verify.add_argument("--gpu-url", metavar="URL", help="baseline server (or --gptoss-baseline FILE)")
    verify.add_argument("--test-prompts", metavar="FILE", help="prompts: a JSON list (default: shipped set)")
    verify.add_argument("--output", metavar="FILE", default="precision_report.json", help="the JSON report")
    needle = commands.add_parser(
        "long-context", help="judge an NPU's recall of a needle in long texts", description=_PASSED_ON
    )
    needle.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    needle.add_argument("--max-context-len", metavar="N", help="longest context to test, tokens")
    needle.add_argument("--needle", metavar="TEXT", help="the sentence to find")
    needle.add_argument("--question", metavar="TEXT", help="the question about it")
    needle.add_argument(
        "--output", metavar="FILE", default="long_context_report.json", help="the JSON report"
    )
    hidden = commands.add_parser("hidden", help="record hidden states of the fixed sequences from /pooling")
    hidden.add_argument("--url", required=True, metavar="URL", help="pooling server")
    hidden.add_argument("--output", required=True, metavar="FILE.npz", help="file to write")
    hidden.add_argument("--role", choices=("npu", "gpu", "cpu"), default="npu", help="whose API key to use")
    hidden.add_argument("--model", metavar="NAME", help="served name (default: the one it lists)")
    hidden.add_argument("--profile", default="atlas-800-a2", help="profile whose sequences are recorded")
    hidden.add_argument("--timeout", type=float, default=60.0, metavar="S", help="longest wait for an answer")
    hidden.add_argument("--ca-bundle", type=Path, metavar="FILE", help="certificates to trust for https")
    return parser


def _verify_precision(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {"--npu-url": known.npu_url, "--gpu-url": known.gpu_url, "--gptoss-prompts": known.test_prompts}
    return _accept("precision", "precision_report.json", given, rest, output=Path(known.output))


def _long_context(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {
        "--npu-url": known.api_url,
        "--gptoss-max-context-len": known.max_context_len,
        "--gptoss-needle": known.needle,
        "--gptoss-question": known.question,
    }
    return _accept("needle", "long_context_report.json", given, rest, output=Path(known.output))


def _accept(
    family: str, report_name: str, given: Mapping[str, str | None], rest: Sequence[str], *, output: Path
) -> int:
    """Run one family's acceptance tests and keep one of its reports; returns the exit status."""
    import pytest

    from pytest_gptoss.resources import acceptance_tests

    _refuse_unwritable(output)
    options = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        report = Path(scratch)
        status = pytest.main(
            [
                str(acceptance_tests()),
                "-m", family,
                "-p", "no:cacheprovider",
                f"--gptoss-report={report}",
                *options,
                *rest,
            ]
        )  # fmt: skip
        written = _report_of(rest, report) / report_name
        if written.is_file():
            shutil.copyfile(written, output)
            print(f"report: {output}")
    if status == pytest.ExitCode.INTERRUPTED:
        return INTERRUPTED
    if status in (pytest.ExitCode.OK, pytest.ExitCode.USAGE_ERROR):
        return int(status)
    return 1


def _report_of(rest: Sequence[str], default: Path) -> Path:
    """Where pytest wrote its reports: the user may have named a directory to keep."""
    for index, argument in enumerate(rest):
        if argument.startswith("--gptoss-report="):
            return Path(argument.partition("=")[2])
        if argument == "--gptoss-report" and index + 1 < len(rest):
            return Path(rest[index + 1])
    return default


def _refuse_unwritable(output: Path) -> None:
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no directory {output.parent}; make it first")
    if output.is_dir():
        raise UsageError(f"--output {output}: that is a directory; name a file")


def _hidden(known: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        raise UsageError(f"unknown option {rest[0]}; see pytest-gptoss hidden --help")
    from pytest_gptoss.hidden import record_hidden

    output = Path(known.output)
    _refuse_unwritable(output)
    count = record_hidden(
        url=known.url,
        output=output,
        role=known.role,
        model=known.model,
        profile=known.profile,
        timeout_s=known.timeout,
        ca_bundle=known.ca_bundle,
        tell=lambda text: print(text, file=sys.stderr),
    )
    print(f"recorded the hidden states of {count} sequences in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
