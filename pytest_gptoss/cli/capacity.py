"""``pytest-gptoss capacity``: find the highest rate of requests that keeps a service level on a server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, Command
from pytest_gptoss.cli.numbers import number, whole_number
from pytest_gptoss.cli.output_file import refuse_unwritable
from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.gptoss import CONTEXT

__all__ = ["COMMAND"]

_HIGHEST_RATE = 1e6
_LONGEST_MS = 1e7


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-url", required=True, metavar="URL", help="server under test")
    parser.add_argument("--slo-ttft", metavar="MS", help="limit on TTFT, from when a request is due")
    parser.add_argument("--slo-tpot", metavar="MS", help="limit on a request's time per output token")
    parser.add_argument("--share", default="0.95", metavar="X", help="of the requests, must keep both (0.95)")
    parser.add_argument("--model", metavar="NAME", help="served name (default: the one it lists)")
    parser.add_argument("--prompt-len", default="1024", metavar="N", help="prompt tokens a request (1024)")
    parser.add_argument("--max-tokens", default="128", metavar="N", help="output tokens a request (128)")
    parser.add_argument(
        "--endpoint", choices=("completions", "chat"), default="completions", help="(completions)"
    )
    parser.add_argument("--probe-seconds", default="120", metavar="S", help="longest time at one rate (120)")
    parser.add_argument("--first-rate", default="1", metavar="R", help="requests/s to begin with (1)")
    parser.add_argument("--min-rate", default="0.01", metavar="R", help="lowest rate to try (0.01)")
    parser.add_argument("--max-rate", default="1000", metavar="R", help="highest rate to try (1000)")
    parser.add_argument("--seed", default="0", metavar="N", help="of the random arrivals (0)")
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="certificates to trust for https")
    parser.add_argument("--output", metavar="FILE", help="write the figures and all probes as JSON")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    # Imported here: the other subcommands need no load client.
    from pytest_gptoss.cli.capacity_report import capacity_report, lines

    task = _task(known)
    if known.output is not None:
        refuse_unwritable(Path(known.output))
    report = capacity_report(
        task,
        url=known.api_url,
        model=known.model,
        ca_bundle=known.ca_bundle,
        tell=lambda text: print(text, file=sys.stderr),
    )
    print("\n".join(lines(report)))
    if known.output is not None:
        Path(known.output).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        print(f"report: {known.output}")
    return 0 if report["problem"] is None else FAILED


def _task(known: argparse.Namespace) -> CapacityTask:
    """The task that the options describe; raises UsageError."""
    limits = {"--slo-ttft": known.slo_ttft, "--slo-tpot": known.slo_tpot}
    if not any(limits.values()):
        raise UsageError("capacity needs a service level: give --slo-ttft MS, --slo-tpot MS or both")
    ttft, tpot = (
        None if text is None else number(option, text, above=0, most=_LONGEST_MS)
        for option, text in limits.items()
    )
    first, least, most = (
        number(option, text, above=0, most=_HIGHEST_RATE)
        for option, text in (
            ("--first-rate", known.first_rate),
            ("--min-rate", known.min_rate),
            ("--max-rate", known.max_rate),
        )
    )
    if not least <= first <= most:
        raise UsageError(
            f"--first-rate is {first:g}: it lies between --min-rate, {least:g}, and --max-rate, {most:g}"
        )
    return CapacityTask(
        Slo(ttft, tpot, _share(known.share)),
        prompt_tokens=whole_number("--prompt-len", known.prompt_len, most=CONTEXT),
        max_tokens=whole_number("--max-tokens", known.max_tokens, most=CONTEXT),
        endpoint=known.endpoint,
        probe_s=number("--probe-seconds", known.probe_seconds, above=0, most=86_400),
        first_rate=first,
        least_rate=least,
        most_rate=most,
        seed=_seed(known.seed),
    )


def _share(text: str) -> float:
    share = number("--share", text, above=0, most=1)
    if share == 1:
        raise UsageError("--share is 1: no number of requests shows that none ever breaks it; try 0.99")
    return share


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--seed is {text!r}: it takes a whole number") from None


COMMAND = Command(
    "capacity",
    "find the highest rate of requests that keeps a service level",
    _add_arguments,
    _run,
    description="Exit status: 0 a capacity was found, 1 only a bound or nothing (the reason is told).",
)
