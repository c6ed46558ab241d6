"""When the instrument itself is too coarse for a limit."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pytest_gptoss.judge.figures import number
from pytest_gptoss.model.message import both, say
from pytest_gptoss.model.results import InstrumentError, LoopHealth
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["LARGEST_SHARE", "Clock", "why_overloaded", "why_too_coarse"]

Clock: TypeAlias = Literal["ttft", "tpot"]
"""Which of the calibrated errors bounds a latency: that of one stamp, or that of a mean gap."""

LARGEST_SHARE = 0.05
"""Share of a limit that the instrument's error may reach."""

LEAST_HELD = 0.99
"""Share of the offered load below which the client itself holds the server back."""

_TAIL = ("p90", "p95", "p99", "max")


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
    what = say("99th percentile of its error") if tail else "bias"
    return say(
        "the instrument is too coarse: at concurrency {concurrency} the {what} in "
        "{clock} is {off} ms, more than 5% of the limit of {limit} ms: measure from a "
        "machine with an idle core, or waive this threshold",
        concurrency=error.concurrency,
        what=what,
        clock=clock.upper(),
        off=number(off),
        limit=number(threshold.limit),
    )


def why_overloaded(
    health: LoopHealth | None, error: InstrumentError | None, *, ttft_limit_ms: float | None
) -> str | None:
    """Why the client itself may be what is slow at a level, in a line; None when it kept up.

    It did not when it held less than 99% of the load while it was calibrated, or when its event loop
    was late by more than 5% of ``ttft_limit_ms`` during the level. No verdict depends on it.
    """
    signs = []
    if error is not None and error.load_held < LEAST_HELD:
        signs.append(
            say("held {load_held:.1%} of the load when it was calibrated", load_held=error.load_held)
        )
    if health is not None and ttft_limit_ms is not None and health.lag_p99_ms > LARGEST_SHARE * ttft_limit_ms:
        signs.append(
            say("was late by {lag_p99_ms} ms (p99) during the level", lag_p99_ms=number(health.lag_p99_ms))
        )
    if not signs:
        return None
    return say(
        "the client {signs}: throughput and QPS may be its own, not the server's; "
        "measure from a machine with an idle core",
        signs=both(signs),
    )
