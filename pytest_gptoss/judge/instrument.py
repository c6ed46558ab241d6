"""When the instrument itself is too coarse for a limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from pytest_gptoss.judge.verdicts import number
from pytest_gptoss.records import InstrumentError, Threshold

__all__ = ["LARGEST_SHARE", "Clock", "error_at", "why_too_coarse"]

Clock: TypeAlias = Literal["ttft", "tpot"]
"""Which of the calibrated errors bounds a latency: that of one stamp, or that of a mean gap."""

LARGEST_SHARE = 0.05
"""Share of a limit that the instrument's error may reach."""

_TAIL = ("p90", "p95", "p99", "max")


def error_at(errors: Iterable[InstrumentError], concurrency: int) -> InstrumentError | None:
    """The calibrated error at a level, None where that was not calibrated."""
    return next((error for error in errors if error.concurrency == concurrency), None)


def why_too_coarse(threshold: Threshold, clock: Clock, error: InstrumentError) -> str | None:
    """Why a latency cannot be judged with this instrument, in a line; None when it can.

    A median or a mean is bounded by the bias, a tail (from p90 up, max) by the error's 99th percentile.
    """
    tail = threshold.statistic in _TAIL
    bias, p99 = (
        (error.ttft_bias_ms, error.ttft_p99_ms)
        if clock == "ttft"
        else (error.tpot_bias_ms, error.tpot_p99_ms)
    )
    off = abs(p99) if tail else abs(bias)
    if off <= LARGEST_SHARE * threshold.limit:
        return None
    what = "99th percentile of its error" if tail else "bias"
    return (
        f"the instrument is too coarse: at concurrency {error.concurrency} the {what} in {clock.upper()} "
        f"is {number(off)} ms, more than 5% of the limit of {number(threshold.limit)} ms: measure from a "
        "machine with an idle core, or waive this threshold"
    )
