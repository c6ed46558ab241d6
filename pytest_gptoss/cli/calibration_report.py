"""How far the load client is off on this machine, level by level, and what that is good enough for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pytest_gptoss.config.option_types import LEVELS
from pytest_gptoss.judge.instrument import Clock, why_too_coarse
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.scenarios.calibration import FIRST_TOKEN_MS, INTERVAL_MS, Calibrated, calibrate
from pytest_gptoss.scenarios.load_plan import planned_levels

__all__ = ["calibration_report", "table"]


def calibration_report(
    *, profile: str, concurrency: str | None, short: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Calibrate a profile's levels, or those in ``concurrency`` (``1,16``), and say what they are fit for.

    ``levels``: the instrument's errors with ``too_coarse``, one line for each latency limit of the
    profile that this level could not be held against. ``problems``: a line for each level that could not be
    calibrated. ``fit`` when there is no line of either. Raises UsageError for a profile or a level that is
    none, ReferenceServerError when the server does not start.
    """
    chosen = load_profile(profile)
    task = LoadTask(concurrency=None if concurrency is None else LEVELS.read(concurrency, "--concurrency"))
    shapes = planned_levels(chosen.workload.levels, task)
    limits = _latency_limits(chosen.thresholds.values())
    found: list[Calibrated] = []
    calibrate(shapes, tell=tell, take=found.append, short=short)
    levels = [
        {**asdict(each.error), "too_coarse": _too_coarse(limits, each.error)}
        for each in found
        if each.error is not None
    ]
    problems = [
        f"concurrency {shapes[each.level].concurrency}: {each.problem}" for each in found if each.problem
    ]
    return {
        "profile": profile,
        "first_token_ms": FIRST_TOKEN_MS,
        "interval_ms": INTERVAL_MS,
        "uvloop": importlib.util.find_spec("uvloop") is not None,
        "levels": levels,
        "problems": problems,
        "fit": not problems and not any(level["too_coarse"] for level in levels),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for a person's eyes."""
    head = ("concurrency", "requests", "TTFT bias", "p99", "TPOT bias", "p99", "load held", "fit")
    rows = [head, *map(_row, report["levels"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines += [reason for level in report["levels"] for reason in level["too_coarse"]]
    return "\n".join([*lines, *report["problems"]])


def _row(level: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(level["concurrency"]),
        str(level["requests"]),
        f"{level['ttft_bias_ms']:+.2f} ms",
        f"{level['ttft_p99_ms']:+.2f} ms",
        f"{level['tpot_bias_ms']:+.3f} ms",
        f"{level['tpot_p99_ms']:+.3f} ms",
        f"{level['load_held']:.1%}",
        "no" if level["too_coarse"] else "yes",
    )


def _latency_limits(rows: Iterable[Threshold]) -> list[tuple[Clock, Threshold]]:
    """The profile's limits in ms on first token and time per token, whatever level they stand at."""
    clocks: tuple[Clock, ...] = ("ttft", "tpot")
    return [(clock, row) for row in rows for clock in clocks if row.metric.startswith(f"{clock}.")]


def _too_coarse(limits: Iterable[tuple[Clock, Threshold]], error: InstrumentError) -> list[str]:
    reasons = (why_too_coarse(row, clock, error) for clock, row in limits)
    return [reason for reason in reasons if reason is not None]
