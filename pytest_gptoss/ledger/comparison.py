"""Two runs side by side: what was other, and of each row whether it became better or worse; pure.

A row is judged on the difference of its two values, with a 95% interval made of theirs (Zou and Donner's
MOVER). That takes the runs for independent; where both asked the same prompts the true interval is narrower,
so "better" and "worse" are said too seldom rather than too often.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.judge.verdicts import PLAIN_UNITS
from pytest_gptoss.ledger.records import Entry, LevelRecord, VerdictRecord
from pytest_gptoss.model.message import say

__all__ = ["Change", "Compared", "Comparison", "Difference", "LeftOut", "compare"]

Change: TypeAlias = Literal["better", "worse", "same", "cannot tell"]
Row: TypeAlias = tuple[str, str]
"""Device and threshold id."""

SAME_SHARE = 0.05
"""Differences within this share of the figure are none to act on; "same" needs the whole interval within."""
SAME_PLAIN = 0.01
"""The like for shares, F and cosine, whose 0.95 and 1 are far apart."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting, a version or a limit that is not the same; None where a run does not tell it."""

    what: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row in both runs. ``difference`` is new less old, ``interval`` its 95% interval, None without one."""

    device: str
    threshold_id: str
    unit: str
    old: float
    new: float
    difference: float
    interval: tuple[float, float] | None
    change: Change
    old_verdict: str
    new_verdict: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that cannot be compared, and why."""

    device: str
    threshold_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """All there is to say of two runs."""

    old_run: str
    new_run: str
    differences: tuple[Difference, ...]
    rows: tuple[Comparison, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def worse(self) -> tuple[Comparison, ...]:
        """The rows that became worse."""
        return tuple(each for each in self.rows if each.change == "worse")


def compare(old: Entry, new: Entry) -> Compared:
    """Compare two runs, row by row in the new run's order."""
    before, after = _verdicts(old), _verdicts(new)
    rows: list[Comparison] = []
    left_out: list[LeftOut] = []
    for row in {**after, **before}:
        reason = _not_comparable(old, new, before.get(row), after.get(row))
        if reason is None:
            rows.append(_compared(before[row], after[row]))
        else:
            left_out.append(LeftOut(*row, reason))
    return Compared(
        old.run.run_id, new.run.run_id, tuple(_differences(old, new)), tuple(rows), tuple(left_out)
    )


def _verdicts(entry: Entry) -> dict[Row, VerdictRecord]:
    return {(each.device, each.threshold_id): each for each in entry.verdicts}


def _differences(old: Entry, new: Entry) -> Iterator[Difference]:
    """What differs between two runs beside their figures: settings, versions, devices, then limits."""
    before, after = _facts(old), _facts(new)
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield Difference(name, before.get(name), after.get(name))
    limits_before, limits_after = _limits(old), _limits(new)
    for name, limit in limits_before.items():
        if limits_after.get(name, limit) != limit:
            yield Difference(say("limit of {name}", name=name), limit, limits_after[name])


def _facts(entry: Entry) -> dict[str, str]:
    run = entry.run
    found = {"state": run.state, "profile": run.profile, "prompts_sha256": run.prompts_sha256}
    found |= {
        f"{each.device}.{name}": value
        for each in entry.devices
        for name in ("label", "model", "server_version", "max_model_len")
        if (value := str(getattr(each, name) or "")) != ""
    }
    # changed_limits are told as limits, the digest of prompts above
    left = {"changed_limits.", "settings.prompts_sha256"}
    told = {f"{each.part}.{each.name}".removeprefix("device."): _plain(each.value) for each in entry.facts}
    return found | {name: value for name, value in told.items() if not name.startswith(tuple(left))}


def _plain(value: str) -> str:
    """A fact's JSON, a text without its quotes."""
    try:
        read = json.loads(value)
    except ValueError:  # cut, because it was too long
        return value
    return read if isinstance(read, str) else value


def _limits(entry: Entry) -> Mapping[str, str]:
    return {
        f"{each.device}-{each.threshold_id}": f"{each.comparison} {each.limit_value!r} {each.unit}"
        for each in entry.verdicts
    }


def _not_comparable(
    old: Entry, new: Entry, before: VerdictRecord | None, after: VerdictRecord | None
) -> str | None:
    """Why a row cannot be compared; None when it can."""
    if before is None:
        return say("only the new run has it")
    if after is None:
        return say("only the old run has it")
    if before.statistic != after.statistic:
        return say("its statistic was {was} and is {now}", was=before.statistic, now=after.statistic)
    if before.unit != after.unit:
        return say("its unit was {was} and is {now}", was=before.unit, now=after.unit)
    if before.comparison != after.comparison:
        return say("its comparison was {was} and is {now}", was=before.comparison, now=after.comparison)
    return _without_value(before, after) or _other_inputs(old, new, after)


def _without_value(before: VerdictRecord, after: VerdictRecord) -> str | None:
    """Which run has no value and why; None when both have one."""
    if before.value is None:
        return say("{verdict} in the old run: {reason}", verdict=before.verdict, reason=_why(before))
    if after.value is None:
        return say("{verdict} in the new run: {reason}", verdict=after.verdict, reason=_why(after))
    return None


def _why(row: VerdictRecord) -> str:
    return row.reason or say("no value")


def _other_inputs(old: Entry, new: Entry, row: VerdictRecord) -> str | None:
    """Why a row did not measure the same in both runs; None when it did."""
    if row.family == "precision" and old.run.prompts_sha256 != new.run.prompts_sha256:
        return say("other prompts")
    if row.family == "needle" and _part(old, "needle") != _part(new, "needle"):
        return say("other needles")
    level = row.threshold_id.rpartition(".")[2]
    if row.family == "performance" and _shapes(old, row.device, level) != _shapes(new, row.device, level):
        return say("load level {level} had another shape", level=level)
    return None


def _part(entry: Entry, part: str) -> set[tuple[str, str]]:
    return {(each.name, each.value) for each in entry.facts if each.part == part}


def _shapes(entry: Entry, device: str, level: str) -> set[tuple[int | None, ...]]:
    found = (each for each in entry.levels if (each.device, each.level) == (device, level))
    return {_shape(each) for each in found}


def _shape(level: LevelRecord) -> tuple[int | None, ...]:
    return level.concurrency, level.requests, level.prompt_tokens, level.max_tokens


def _compared(old: VerdictRecord, new: VerdictRecord) -> Comparison:
    was, now = old.value or 0.0, new.value or 0.0
    interval = _interval(old, new)
    return Comparison(
        new.device,
        new.threshold_id,
        new.unit,
        was,
        now,
        now - was,
        interval,
        _change(old, new, interval),
        old.verdict,
        new.verdict,
    )


def _interval(old: VerdictRecord, new: VerdictRecord) -> tuple[float, float] | None:
    """The 95% interval of new less old; None where one of them has none."""
    if None in (old.value, old.ci_low, old.ci_high, new.value, new.ci_low, new.ci_high):
        return None
    was, was_low, was_high = float(old.value or 0), float(old.ci_low or 0), float(old.ci_high or 0)
    now, now_low, now_high = float(new.value or 0), float(new.ci_low or 0), float(new.ci_high or 0)
    middle = now - was
    return middle - math.hypot(now - now_low, was_high - was), middle + math.hypot(
        now_high - now, was - was_low
    )


def _change(old: VerdictRecord, new: VerdictRecord, interval: tuple[float, float] | None) -> Change:
    was, now = _goodness(old), _goodness(new)
    if interval is None:
        return _change_without_interval(old, new, now - was)
    low, high = interval
    if low > 0 or high < 0:
        return "better" if now > was else "worse" if now < was else "cannot tell"
    near = SAME_PLAIN if new.unit in PLAIN_UNITS else SAME_SHARE * max(abs(was), abs(now))
    return "same" if -near <= low and high <= near else "cannot tell"


def _change_without_interval(old: VerdictRecord, new: VerdictRecord, gained: float) -> Change:
    """The change where no interval tells it from chance: by the verdict, and by a row that must be exact.

    Neither says anything of the device where the limit is another.
    """
    if old.value == new.value:
        return "same"
    if old.limit_value != new.limit_value:
        return "cannot tell"
    if {old.verdict, new.verdict} == {"PASS", "FAIL"}:
        return "better" if new.verdict == "PASS" else "worse"
    if new.comparison == "=" and gained:
        return "better" if gained > 0 else "worse"
    return "cannot tell"


def _goodness(row: VerdictRecord) -> float:
    """The value, turned so that more is better."""
    value = row.value or 0.0
    if row.comparison == "=":
        return -abs(value - row.limit_value)
    return value if row.comparison in (">=", ">") else -value
