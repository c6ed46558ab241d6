"""An estimate held against its threshold, and the one line that says how it went."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TypeAlias

from pytest_gptoss.judge.beside import beside_words, forced_would_pass, with_beside
from pytest_gptoss.judge.figures import exact, holds, number
from pytest_gptoss.judge.intervals import Interval
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.model.verdicts import BY_HOOK, Comparison, Estimate, Threshold, Verdict

__all__ = [
    "PLAIN_UNITS",
    "headroom",
    "invalid",
    "judge",
    "line",
    "skipped",
    "waived",
]

PLAIN_UNITS = ("share", "F", "cosine")
"""Units that a reader needs no word for; 1 is the most there is in them."""

MOST_HEADROOM = 1e9
Devices: TypeAlias = Mapping[str, Device]


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

    A limit below the least value that chance does not explain is raised to it.

    ``proven``: the whole interval is on the passing side; None where there is no interval. The
    reason of a FAIL is the metric's own finding.
    """
    threshold = _beyond_chance(threshold, estimate)
    unsound = _unsound(threshold, estimate)
    if unsound is not None:
        return invalid(threshold, npu, unsound)
    passed = holds(estimate.value, threshold.comparison, threshold.limit)
    details = with_beside(threshold, estimate.details)
    return Verdict(
        npu,
        threshold,
        "PASS" if passed else "FAIL",
        value=float(estimate.value),
        n=int(estimate.n),
        interval=None if estimate.interval is None else _builtin(estimate.interval),
        proven=None if estimate.interval is None else _proven(estimate.interval, threshold),
        reason="" if passed else printable(_finding(threshold, details)),
        details=details,
    )


def _beyond_chance(threshold: Threshold, estimate: Estimate) -> Threshold:
    least = estimate.significant_from
    if least is None or threshold.comparison != "<=" or not threshold.limit < least < math.inf:
        return threshold
    return dataclasses.replace(threshold, limit=_rounded_up(least))


def _rounded_up(value: float) -> float:
    """A positive number with three digits, as limits are written; never less than it was."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step) * step:.3g}")


def _finding(threshold: Threshold, details: Mapping[str, Json]) -> str:
    found = details.get("finding", "")
    hint = forced_would_pass(threshold, details)
    return str(found) if hint is None else joined([found, hint])


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
    head = f"{verdict.status} {verdict.subject}-{threshold.id}:"
    if verdict.value is None:
        parts = [verdict.reason, f"required {_required(threshold)}"]
        return printable(f"{head} " + "; ".join([*parts, *_played(devices)]))
    figure = number(verdict.value, apart_from=threshold.limit)
    parts = [f"{figure}, required {_required(threshold)}", f"n {verdict.n}"]
    if verdict.interval is not None:
        parts.append(_between(verdict.interval, threshold.limit))
    if verdict.status == "PASS" and verdict.proven is False:
        parts.append("not proven at 95%")
    beside = verdict.details.get("beside")
    if isinstance(beside, Mapping):
        parts.append(beside_words(beside))
    parts.extend(_played(devices))
    if verdict.reason:
        parts.append(verdict.reason)
    return printable(f"{head} " + "; ".join(parts))


def _unsound(threshold: Threshold, estimate: Estimate) -> str | None:
    ends = () if estimate.interval is None else estimate.interval
    if not all(math.isfinite(figure) for figure in (estimate.value, *ends)):
        return say(
            "metric {metric} gave {value}, interval {interval}: no finite figure",
            metric=threshold.metric,
            value=estimate.value,
            interval=estimate.interval,
        )
    if abs(estimate.value - threshold.limit) < estimate.doubt:
        return say(
            "{value} is nearer to the limit of {limit} than the {doubt:.2g} that its measurement may be off: "
            "{way_out}",
            value=number(estimate.value, apart_from=threshold.limit),
            limit=exact(threshold.limit),
            doubt=estimate.doubt,
            way_out=estimate.details.get("way_out", say("measure more exactly, or waive this threshold")),
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
            "metric {metric} is in {unit}, its limit in {limit_unit}: give the threshold the metric's unit",
            metric=threshold.metric,
            unit=repr(estimate.unit),
            limit_unit=repr(threshold.unit),
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
    elif threshold.limit == threshold.forced_limit and threshold.statistic_from is not None:
        notes.append("our limit, provisional")
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
