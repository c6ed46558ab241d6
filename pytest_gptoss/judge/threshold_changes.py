"""A user's changes to a table of thresholds.

A changes file names thresholds by id and says what is other::

    [thresholds."precision.rouge_l"]
    limit = 0.97

Every figure of a load level may be gated, those without a row of their own too::

    [thresholds."performance.ttft.c08"]
    limit = 300
    statistic = "p99"

It may add load levels and a service level too: see ``workload_changes.py``.

The trend of a row may be judged against accepted runs of a ledger, its limit the tolerance, ``runs`` how
many of them (10 where it is not said)::

    [thresholds."trend.performance.ttft.c01"]
    limit = 0.05
    runs = 20
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gptoss.judge.forced_rows import gated_by_forced
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.trend import REFERENCE, TREND, trended
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.load_names import LOAD_FIGURES
from pytest_gptoss.model.toml_reader import toml
from pytest_gptoss.model.verdicts import FORCED, Comparison, Threshold

__all__ = ["ADDED", "Changes", "read_changes", "with_changes"]

ADDED = "--gptoss-thresholds"
"""The source of a row that the profile does not have."""

_CHANGEABLE = ("limit", "statistic")
"""What a changes file may say about a threshold."""

_OF_TREND = ("limit", "runs")
"""What it may say about the row of a trend."""

_FEWEST_RUNS, _MOST_RUNS = 5, 1000

_RANGES = {"share": (0.0, 1.0), "F": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Limits outside are slips (95 for 0.95) that no or every device would meet; all other units: from 0."""

_HUGE = 1e300

_LOAD_ROW = re.compile(r"performance\.([a-z0-9_]+)\.((?:c[0-9]{2,}|r[0-9]+(?:\.[0-9]+)?|trace)[a-z0-9-]*)")

_GATES: Mapping[str, tuple[Comparison, str]] = {
    each.name: (each.comparison, each.unit) for each in LOAD_FIGURES
}
"""How a load figure is compared, and its unit, where the profile has no row for it."""

_ADD_OPEN = "--gptoss-rate or --gptoss-trace"

_LARGEST_FILE = 2**20

_SHOWN = 60


@dataclass(frozen=True)
class Changes:
    """A changes file: what it says of each threshold, and its ``[workload]``, None without one."""

    path: Path
    thresholds: Mapping[str, Any]
    workload: Any


def with_changes(
    table: Mapping[str, Threshold], changes: Changes, levels: Sequence[str]
) -> dict[str, Threshold]:
    """The table with the changes of a file; ``levels`` are the run's load levels.

    Raises UsageError naming the file, the threshold, the key and the rule.
    """
    changed = dict(table)
    path = changes.path
    for threshold_id in sorted(changes.thresholds, key=_is_trend):  # a trend after the row that it watches
        change = changes.thresholds[threshold_id]
        where = f"{path}: {threshold_id}"
        if threshold_id in table:
            changed[threshold_id] = _change(table[threshold_id], change, where)
            continue
        row = (
            _capacity_row(threshold_id)
            or _trend_row(threshold_id, changed, change, where)
            or _load_row(threshold_id, levels, where)
        )
        if row is None:
            known = ", ".join(table)
            raise UsageError(f"{path}: no threshold is called {_told(threshold_id)}; there are: {known}")
        gated = _change(row, change, where)
        if "limit" not in change:
            raise UsageError(f"{where}: it has no limit of its own yet: write limit = NUMBER")
        changed[threshold_id] = dataclasses.replace(gated, changed_from=None, statistic_from=None)
    return changed


def _is_trend(threshold_id: str) -> bool:
    return trended(threshold_id) is not None


def _capacity_row(threshold_id: str) -> Threshold | None:
    """The row of the highest rate that keeps the service level; None when it is another."""
    if threshold_id != "performance.capacity":
        return None
    return Threshold(
        threshold_id, "performance", "capacity", "bisection", ">", math.nan, "req/s", "assurance", ADDED
    )


def _trend_row(
    threshold_id: str, table: Mapping[str, Threshold], change: Any, where: str
) -> Threshold | None:
    """A row for the trend of another, whose limit is the tolerance; None when it is none of these."""
    watched = table.get(trended(threshold_id) or "")
    if watched is None:
        return None
    if watched.comparison == "=":
        raise UsageError(
            f"{where}: {watched.id} must be {watched.limit:g}, so it has no trend: watch another row"
        )
    if isinstance(change, dict) and "statistic" in change:
        raise UsageError(f"{where}: a trend has the statistic of its row: write limit alone, the tolerance")
    metric = f"{TREND}{watched.metric}"
    return Threshold(
        threshold_id, watched.family, metric, watched.statistic, "<=", math.nan, "share", "assurance", ADDED,
        runs=REFERENCE,
    )  # fmt: skip


def _load_row(threshold_id: str, levels: Sequence[str], where: str) -> Threshold | None:
    """A row for a load figure that the profile does not gate; None when there is no such figure."""
    found = _LOAD_ROW.fullmatch(threshold_id)
    if found is None or found[1] not in _GATES:
        return None
    comparison, unit = _GATES[found[1]]
    level = found[2]
    if level not in levels:
        known = ", ".join(levels)
        raise UsageError(
            f"{where}: {level} is no load level of this run, which has {known}: "
            f"correct it, or add the level with {'--gptoss-concurrency' if level[0] == 'c' else _ADD_OPEN}"
        )
    metric = f"{found[1]}.{level}"
    statistic = metric_named(metric).statistics[0]
    return Threshold(
        threshold_id, "performance", metric, statistic, comparison, math.nan, unit, "assurance", ADDED,
    )  # fmt: skip


def read_changes(path: Path) -> Changes:
    """Read a changes file; raises UsageError naming it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise UsageError(f"{path}: more than {_LARGEST_FILE} bytes, the limit: is it the right file?")
        document = toml.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply; it holds tables of limits") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"{path}: not a TOML file ({error})") from error
    unknown = next((key for key in document if key not in ("thresholds", "workload")), None)
    if unknown is not None:
        raise UsageError(
            f'{path}: unknown table {_told(unknown)}; write [thresholds."ID"] and [workload] tables only'
        )
    changes, workload = document.get("thresholds", {}), document.get("workload")
    if not isinstance(changes, dict) or not (changes or workload):
        raise UsageError(f'{path}: it changes nothing; write a [thresholds."ID"] table with a limit')
    return Changes(path, changes, workload or None)


def _change(row: Threshold, change: Any, where: str) -> Threshold:
    if not isinstance(change, dict) or not change:
        raise UsageError(f"{where}: {_told(change)} is no table; write limit = NUMBER below the table's head")
    changeable = _CHANGEABLE if row.runs is None else _OF_TREND
    unknown = next((key for key in change if key not in changeable), None)
    if unknown is not None:
        # An id written without quotes makes nested tables, and its second half shows up here.
        raise UsageError(
            f"{where}: {_told(unknown)} cannot be changed, only {' and '.join(changeable)}; "
            "quote ids with dots"
        )
    if "limit" in change:
        limit = _limit(change["limit"], row.unit, where)
        before = (
            row.limit if row.changed_from is None else row.changed_from
        )  # --gptoss-compare changes some too
        row = dataclasses.replace(row, limit=limit, changed_from=before if limit != before else None)
    if "statistic" in change:
        statistic = _statistic(change["statistic"], row.metric, where)
        if "limit" not in change:
            row = _with_limit_of(statistic, row)
        usual = row.statistic if row.statistic_from is None else row.statistic_from
        row = dataclasses.replace(
            row, statistic=statistic, statistic_from=usual if statistic != usual else None
        )
    if "runs" in change:
        row = dataclasses.replace(row, runs=_runs(change["runs"], where))
    return row


def _with_limit_of(statistic: str, row: Threshold) -> Threshold:
    """The row with the limit that belongs to a statistic: the guide's is not made for the forced one."""
    if row.forced_limit is None or (statistic == FORCED) == (row.statistic == FORCED):
        return row
    if statistic == FORCED:
        return gated_by_forced(row, row.forced_limit)
    before = row.limit if row.changed_from is None else row.changed_from
    return dataclasses.replace(row, limit=before, changed_from=None)


def _runs(value: Any, where: str) -> int:
    if not isinstance(value, int) or not _FEWEST_RUNS <= value <= _MOST_RUNS:
        raise UsageError(
            f"{where}: runs is {_told(value)}; a trend is compared with {_FEWEST_RUNS} to {_MOST_RUNS} "
            "accepted runs, whole numbers only"
        )
    return value


def _limit(value: Any, unit: str, where: str) -> float:
    low, high = _RANGES.get(unit, (0.0, math.inf))
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE < value < _HUGE:
        raise UsageError(f"{where}: limit is {_told(value)}; it must be a finite number")
    if not low <= value <= high:
        span = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise UsageError(f"{where}: limit is {_told(value)}; a limit in {unit} must be {span}")
    return float(value)


def _statistic(value: Any, metric: str, where: str) -> str:
    known = metric_named(metric).statistics
    if value not in known:
        raise UsageError(f"{where}: statistic is {_told(value)}; {metric} has: {', '.join(known)}")
    return str(value)


def _told(value: Any) -> str:
    """A value of the file for a message: cut where it is long, named by its kind where it cannot be shown."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"of kind {type(value).__name__}, beyond telling"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
