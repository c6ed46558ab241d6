"""The command ``pytest-gptoss``: thin fronts to the same checks that pytest runs.

Exit status: 0 all passed, 1 a failure or an INVALID, 4 usage, 130 interrupted (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pytest_gptoss import __version__
from pytest_gptoss.model.errors import GptossError, UsageError
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.files import read_document, write_reports
from pytest_gptoss.report.formats import format_names, formats
from pytest_gptoss.run.termination import Termination

__all__ = ["main"]

USAGE, INTERRUPTED = 4, 130

_RENDERED_AGAIN = ("html", "md")
"""Report formats of ``report`` when none is named."""
_PASSED_ON = "Options that are not listed here are pytest's and the plugin's, and are passed on."


class _Parser(argparse.ArgumentParser):
    """argparse with this product's exit status for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status. SIGTERM interrupts it as Ctrl-C does."""
    known, rest = _parser().parse_known_args(arguments)
    try:
        with Termination():
            return _run(known, rest)
    except UsageError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return USAGE
    except GptossError as error:
        print(f"pytest-gptoss: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    if known.command in _ACCEPTING:
        return _ACCEPTING[known.command](known, rest)
    if rest:
        raise UsageError(f"unknown option {rest[0]}; see pytest-gptoss {known.command} --help")
    return _OTHERS[known.command](known)


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
    report = commands.add_parser("report", help="render a stored run again, from its acceptance.json")
    report.add_argument("directory", type=Path, metavar="DIR", help="directory of the run's reports")
    report.add_argument("--lang", choices=LANGUAGES, default="en", help="language of Markdown and HTML")
    report.add_argument(
        "--format",
        choices=format_names(),
        action="append",
        help=f"{_offered()}; may be repeated (default: {' and '.join(_RENDERED_AGAIN)})",
    )
    report.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: the same place)")
    bench = commands.add_parser(
        "benchmark", help="judge an NPU's latency and throughput under load", description=_PASSED_ON
    )
    bench.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    bench.add_argument("--num-requests", metavar="N", help="requests of every level (default: by level)")
    bench.add_argument("--max-tokens", metavar="N", help="output tokens a request (default: by level)")
    bench.add_argument("--concurrency", metavar="LIST", help="levels; their rows alone (default 1,4,8,16)")
    bench.add_argument("--output", metavar="FILE", default="benchmark_report.json", help="the JSON report")
    hidden = commands.add_parser("hidden", help="record hidden states of the fixed sequences from /pooling")
    hidden.add_argument("--url", required=True, metavar="URL", help="pooling server")
    hidden.add_argument("--output", required=True, metavar="FILE.npz", help="file to write")
    hidden.add_argument("--role", choices=("npu", "gpu", "cpu"), default="npu", help="whose API key to use")
    hidden.add_argument("--model", metavar="NAME", help="served name (default: the one it lists)")
    hidden.add_argument("--profile", default="atlas-800-a2", help="profile whose sequences are recorded")
    hidden.add_argument("--timeout", default="60", metavar="S", help="longest wait for an answer (60)")
    hidden.add_argument("--ca-bundle", type=Path, metavar="FILE", help="certificates to trust for https")
    calibrate = commands.add_parser(
        "calibrate",
        help="measure how far the load client itself is off on this machine",
        description="Exit status: 0 fine enough for the profile's latency limits at every level (bias at "
        "most 5% of each), 1 too coarse for one, or not to be calibrated at all.",
    )
    calibrate.add_argument("--profile", default="atlas-800-a2", help="profile with the levels and limits")
    calibrate.add_argument("--concurrency", metavar="LIST", help="levels (default: the profile's)")
    calibrate.add_argument("--short", action="store_true", help="2 s a level, as before a performance run")
    calibrate.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    plan = commands.add_parser("plan", help="memory estimate and serve lines for a set of cards")
    plan.add_argument("--device-memory", required=True, metavar="GB", help="memory of one card, 10^9 bytes")
    plan.add_argument("--cards", default="1", metavar="N", help="how many cards there are (default 1)")
    plan.add_argument("--context", default="131072", metavar="N", help="--max-model-len (default 131072)")
    plan.add_argument("--max-num-seqs", default="16", metavar="N", help="requests at once (default 16)")
    plan.add_argument(
        "--gpu-memory-utilization", default="0.9", metavar="SHARE", help="share of a card vLLM may take"
    )
    plan.add_argument("--model", metavar="DIR", help="checkpoint (default: the 20B model's figures)")
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


def _report(known: argparse.Namespace) -> int:
    output = known.output or known.directory
    names = dict.fromkeys(known.format or _RENDERED_AGAIN)
    for file in write_reports(output, read_document(known.directory), names=names, language=known.lang):
        print(output / file)
    for each in formats():
        if each.name in names and each.by_run_alone:
            print(
                f"pytest-gptoss: {each.file} is written by a run alone: {each.by_run_alone}", file=sys.stderr
            )
    return 0


def _offered() -> str:
    """The report formats in words: their names, and what each is where the name does not say it."""
    about = {each.name: each.about for each in reversed(formats()) if each.about}
    named = [f"{name} ({about[name]})" if name in about else name for name in format_names()]
    return f"{', '.join(named[:-1])} or {named[-1]}"


def _benchmark(known: argparse.Namespace, rest: Sequence[str]) -> int:
    given = {
        "--npu-url": known.api_url,
        "--gptoss-num-requests": known.num_requests,
        "--gptoss-max-tokens": known.max_tokens,
        "--gptoss-concurrency": known.concurrency,
    }
    levels = [part.strip() for part in (known.concurrency or "").split(",")]
    named = [f".c{int(part):02d}]" for part in levels if part.isascii() and part.isdigit()]
    only = ["-k", " or ".join(named)] if named else []
    return _accept("performance", "benchmark_report.json", given, [*only, *rest], output=Path(known.output))


def _accept(
    family: str, report_name: str, given: Mapping[str, str | None], rest: Sequence[str], *, output: Path
) -> int:
    """Run one family's acceptance tests and keep one of its reports; returns the exit status.

    ``output`` is this run's or it is not there: an earlier one is removed before the run.
    """
    import pytest

    from pytest_gptoss.model.resources import acceptance_tests

    _refuse_unwritable(output)
    _remove(output)
    options = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        report = Path(scratch)
        source = _report_of(rest, report) / report_name
        before = _version(source)
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
        if _version(source) not in (None, before):
            if source.resolve() != output.resolve():
                shutil.copyfile(source, output)
            print(f"report: {output}")
    if status == pytest.ExitCode.INTERRUPTED:
        return INTERRUPTED
    if status in (pytest.ExitCode.OK, pytest.ExitCode.USAGE_ERROR):
        return int(status)
    return 1


def _version(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _remove(output: Path) -> None:
    try:
        output.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror or error}; name another file") from error


def _report_of(rest: Sequence[str], default: Path) -> Path:
    """Where pytest wrote its reports: the user may have named a directory to keep, of several the last."""
    named = default
    for argument, after in pairwise((*rest, "")):
        if argument.startswith("--gptoss-report="):
            named = Path(argument.partition("=")[2])
        elif argument == "--gptoss-report" and after:
            named = Path(after)
    return named


def _refuse_unwritable(output: Path) -> None:
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no directory {output.parent}; make it first")
    if output.is_dir():
        raise UsageError(f"--output {output}: that is a directory; name a file")


def _calibrate(known: argparse.Namespace) -> int:
    from pytest_gptoss.cli.calibrate import calibration_report, table

    if known.output is not None:
        _refuse_unwritable(Path(known.output))
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
    return 0 if report["fit"] else 1


def _plan(known: argparse.Namespace) -> int:
    from pytest_gptoss.cli.serving_plan import GPT_OSS_20B, plan_lines, read_architecture

    model = read_architecture(Path(known.model)) if known.model else GPT_OSS_20B
    lines, fits = plan_lines(
        model,
        _bf16_checkpoint(known.model, mxfp4=model.mxfp4),
        memory_gb=_number("--device-memory", known.device_memory, above=0, most=100_000),
        cards=int(_number("--cards", known.cards, above=0, most=1024, whole=True)),
        context=int(_number("--context", known.context, above=0, most=10**7, whole=True)),
        sequences=int(_number("--max-num-seqs", known.max_num_seqs, above=0, most=10**6, whole=True)),
        utilization=_number("--gpu-memory-utilization", known.gpu_memory_utilization, above=0, most=1),
    )
    print("\n".join(lines))
    return 0 if fits else 1


def _bf16_checkpoint(model: str | None, *, mxfp4: bool) -> str:
    """The checkpoint to serve: the one named, or what stands for its BF16 form."""
    named = (model or "/models/gpt-oss-20b").rstrip("/")
    return f"{named}-bf16" if mxfp4 else named


def _number(option: str, text: str, *, above: float, most: float, whole: bool = False) -> float:
    kind = "a whole number" if whole else "a number"
    try:
        value = float(int(text) if whole else text)
    except ValueError:
        value = math.nan
    if not above < value <= most:
        raise UsageError(f"{option} is {text!r}: it takes {kind} above {above:g}, at most {most:g}")
    return value


def _hidden(known: argparse.Namespace) -> int:
    from pytest_gptoss.cli.hidden import record_hidden
    from pytest_gptoss.client.timeouts import Timeouts

    seconds = _number("--timeout", known.timeout, above=0, most=86_400)
    output = Path(known.output)
    _refuse_unwritable(output)
    count = record_hidden(
        url=known.url,
        output=output,
        role=known.role,
        model=known.model,
        profile=known.profile,
        timeouts=Timeouts.of_whole_answers(seconds, "--timeout"),
        ca_bundle=known.ca_bundle,
        tell=lambda text: print(text, file=sys.stderr),
    )
    print(f"recorded the hidden states of {count} sequences in {output}")
    return 0


_ACCEPTING: Mapping[str, Callable[[argparse.Namespace, Sequence[str]], int]] = {
    "verify-precision": _verify_precision,
    "long-context": _long_context,
    "benchmark": _benchmark,
}
"""Subcommands that run acceptance tests: options they do not know are passed on."""
_OTHERS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "report": _report,
    "hidden": _hidden,
    "calibrate": _calibrate,
    "plan": _plan,
}


if __name__ == "__main__":
    sys.exit(main())
