"""An estimate held against its threshold, and the one line that says how it went."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pytest_gptoss.judge.intervals import Interval
from pytest_gptoss.model.message import say
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.model.verdicts import BY_HOOK, Comparison, Estimate, Threshold, Verdict

__all__ = [
    "LONGEST_NUMBER",
    "PLAIN_UNITS",
    "exact",
    "fixed",
    "headroom",
    "holds",
    "invalid",
    "judge",
    "line",
    "number",
    "percent",
    "skipped",
    "waived",
]

_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}

PLAIN_UNITS = ("share", "F", "cosine")
"""Units that a reader needs no word for; 1 is the most there is in them."""

MOST_HEADROOM = 1e9
LONGEST_NUMBER = 24
"""Characters of the longest text that ``number`` and ``exact`` give: a float's own, sign and all."""

Devices: TypeAlias = Mapping[str, Device]


def holds(value: float, comparison: Comparison, limit: float) -> bool:
    """Whether a value meets a limit; "=" is exact."""
    return _COMPARE[comparison](value, limit)


def headroom(value: float, comparison: Comparison, limit: float, unit: str) -> float:
    """How far inside its limit a value lies, as a share of the room there is; negative outside.

    The room is from the limit to the best there can be: 1 for shares, F and cosine, 0 for what shall
    be small, and as much again as the limit for what has no bound. Where only one value will do ("=") it
    is 0 there and negative elsewhere. Within MOST_HEADROOM, however small the limit.
    """
    return min(MOST_HEADROOM, max(-MOST_HEADROOM, _headroom(value, comparison, limit, unit)))


def _headroom(value: float, comparison: Comparison, limit: float, unit: str) -> float:
    if comparison == "=":
        return -abs(value - limit) / max(abs(limit), 1.0)
    if comparison in ("<=", "<"):
        inside, room = limit - value, limit
    else:
        inside, room = value - limit, 1 - limit if unit in PLAIN_UNITS else limit
    if room > 0:
        return inside / room
    return inside if inside else 0.0


def judge(threshold: Threshold, npu: str, estimate: Estimate) -> Verdict:
    """PASS or FAIL on the point estimate; INVALID when the estimate is none.

    ``proven``: the whole interval is on the passing side; None where there is no interval. The
    reason of a FAIL is the metric's own finding.
    """
    unsound = _unsound(threshold, estimate)
    if unsound is not None:
        return invalid(threshold, npu, unsound)
    passed = holds(estimate.value, threshold.comparison, threshold.limit)
    return Verdict(
        npu,
        threshold,
        "PASS" if passed else "FAIL",
        value=float(estimate.value),
        n=int(estimate.n),
        interval=None if estimate.interval is None else _builtin(estimate.interval),
        proven=None if estimate.interval is None else _proven(estimate.interval, threshold),
        reason="" if passed else printable(str(estimate.details.get("finding", ""))),
        details=estimate.details,
    )


def invalid(threshold: Threshold, npu: str, reason: str) -> Verdict:
    """Say that it could not be measured soundly; ``reason`` tells why and what to do."""
    return Verdict(npu, threshold, "INVALID", reason=printable(reason))


def waived(threshold: Threshold, npu: str, reason: str) -> Verdict:
    """Say that the user chose not to judge it, for a reason of theirs."""
    return Verdict(npu, threshold, "WAIVED", reason=reason)


def skipped(threshold: Threshold, npu: str, reason: str) -> Verdict:
    """Say that what it depends on is not part of this run (no CPU reference)."""
    return Verdict(npu, threshold, "SKIPPED", reason=reason)


def line(verdict: Verdict, devices: Devices | None = None) -> str:
    """Write the verdict in one line: value, comparison, limit, n, interval, devices, then the reason.

    ``devices`` by name: those that played, as the line shall name them.
    """
    threshold = verdict.threshold
    head = f"{verdict.status} {verdict.npu}-{threshold.id}:"
    if verdict.value is None:
        parts = [verdict.reason, f"required {_required(threshold)}"]
        return printable(f"{head} " + "; ".join([*parts, *_played(devices)]))
    figure = number(verdict.value, apart_from=threshold.limit)
    parts = [
        f"{figure}, required {_required(threshold)}",
        f"n {verdict.n}",
    ]
    if verdict.interval is not None:
        parts.append(_between(verdict.interval, threshold.limit))
    if verdict.status == "PASS" and verdict.proven is False:
        parts.append("not proven at 95%")
    parts.extend(_played(devices))
    if verdict.reason:
        parts.append(verdict.reason)
    return printable(f"{head} " + "; ".join(parts))


def number(value: float, *, apart_from: float | None = None) -> str:
    """Write a figure in four significant digits, or in as many as it takes to tell it from another.

    So 0.94999 against a limit of 0.95 never reads "0.95". At most LONGEST_NUMBER characters.
    """
    value = _held(value)
    apart_from = None if apart_from is None else _held(apart_from)
    for digits in range(4, 17):
        text = _digits(value, digits)
        if apart_from is None or value == apart_from or text != _digits(apart_from, digits):
            return text
    return repr(value)


def exact(value: float) -> str:
    """Write a limit with all its digits: rounded it would be another one.

    At most LONGEST_NUMBER characters.
    """
    value = _held(value)
    return _whole(value) or repr(value)


def fixed(value: float, digits: int) -> str:
    """Write a figure with so many digits behind the point, at most 6; as ``number`` does where it is huge."""
    return f"{value:.{digits}f}" if abs(value) < 1e9 else number(value)


def percent(share: float) -> str:
    """Write a share in whole percent; as ``number`` does where it is huge."""
    return f"{share:.0%}" if abs(share) < 1e7 else f"{number(share * 100)}%"


def _held(value: float) -> float:
    """A whole number of any size as a float, the largest there is where none holds it."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _digits(value: float, digits: int) -> str:
    return _whole(value) or f"{value:.{digits}g}"


def _whole(value: float) -> str | None:
    """A whole number in full: 20480 tokens is not 2.048e+04."""
    return str(int(value)) if abs(value) < 1e9 and float(value).is_integer() else None


def _unsound(threshold: Threshold, estimate: Estimate) -> str | None:
    ends = () if estimate.interval is None else estimate.interval
    if not all(math.isfinite(figure) for figure in (estimate.value, *ends)):
        return say(
            "metric {metric} gave {value}, interval {interval}: no finite figure",
            metric=threshold.metric,
            value=estimate.value,
            interval=estimate.interval,
        )
    if estimate.n < 1:
        return say(
            "metric {metric} gave {value} from nothing (n = {n})",
            metric=threshold.metric,
            value=number(estimate.value),
            n=estimate.n,
        )
    if estimate.unit != threshold.unit:
        return say(
            "metric {metric} is in {unit}, its limit in {unit_2}: give the threshold the metric's unit",
            metric=threshold.metric,
            unit=repr(estimate.unit),
            unit_2=repr(threshold.unit),
        )
    return None


def _builtin(interval: Interval) -> Interval:
    return float(interval[0]), float(interval[1])


def _proven(interval: Interval, threshold: Threshold) -> bool:
    return all(holds(end, threshold.comparison, threshold.limit) for end in interval)


def _required(threshold: Threshold) -> str:
    unit = "" if threshold.unit in PLAIN_UNITS else f" {threshold.unit}"
    notes = []
    if threshold.source == "ours":
        notes.append("our limit")
    by = " by a hook" if threshold.source == BY_HOOK else ""
    if threshold.changed_from is not None:
        notes.append(f"changed from {exact(threshold.changed_from)}{by}")
    elif by:
        notes.append(f"changed{by}")
    if threshold.statistic_from is not None:
        notes.append(f"its {threshold.statistic} instead of its {threshold.statistic_from}")
    return f"{threshold.comparison} {exact(threshold.limit)}{unit}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


def _between(interval: Interval, limit: float) -> str:
    low, high = (number(end, apart_from=limit) for end in interval)
    return f"95% {low} to {high}"


def _played(devices: Devices | None) -> list[str]:
    if not devices:
        return []
    return [" against ".join(_named(device) for device in devices.values())]


def _named(device: Device) -> str:
    return device.name if device.label in ("", device.name) else f"{device.name} ({device.label})"
