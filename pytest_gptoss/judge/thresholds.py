"""The threshold table as data: shipped profiles, and a user's changes to them.

A changes file names thresholds by id and says what is other::

    [thresholds."precision.rouge_l"]
    limit = 0.97
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gptoss.errors import UsageError
from pytest_gptoss.judge.catalogue import METRICS, NEEDLE_CELLS
from pytest_gptoss.records import Threshold

__all__ = ["CHANGEABLE", "Profile", "ProfileWorkload", "load_profile", "profile_names"]

# Named at run time: the standard library has it from 3.11 on, its forerunner serves 3.10.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_PROFILES = Path(__file__).with_name("profiles")

CHANGEABLE = ("limit", "statistic")
"""What a changes file may say about a threshold."""

_RANGES = {"share": (0.0, 1.0), "F": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Limits outside are slips (95 for 0.95) that no or every device would meet; all other units: from 0."""


_HUGE = 1e300


@dataclass(frozen=True, slots=True)
class ProfileWorkload:
    """What a profile measures its thresholds on: ``prompts`` and ``corpus`` name shipped sets."""

    prompts: str
    corpus: str
    max_tokens: int
    top_logprobs: int
    max_scored_tokens: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A complete table, by threshold id in reading order, with its workload."""

    name: str
    thresholds: Mapping[str, Threshold]
    workload: ProfileWorkload

    @property
    def changed(self) -> tuple[Threshold, ...]:
        """The thresholds whose limit a user has changed."""
        return tuple(row for row in self.thresholds.values() if row.changed_from is not None)


def profile_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in _PROFILES.glob("*.toml")))


def load_profile(name: str, *, overrides: Path | None = None, full_needle_grid: bool = False) -> Profile:
    """Load a shipped profile, with the changes of ``overrides`` applied.

    ``full_needle_grid``: each length of its needle cells at every depth.

    Raises UsageError for a name that is none, and for a file naming it, the threshold, the key
    and the rule.
    """
    if name not in profile_names():
        raise UsageError(
            f"--gptoss-profile is {name!r}: there is no such profile; there are: {', '.join(profile_names())}"
        )
    document = _toml.loads((_PROFILES / f"{name}.toml").read_text("utf-8"))
    table = {key: Threshold(id=key, **row) for key, row in document["thresholds"].items()}
    if full_needle_grid:
        table = _with_all_depths(table)
    if overrides is not None:
        table = _changed(table, overrides)
    return Profile(name, table, ProfileWorkload(**document["workload"]))


def _with_all_depths(table: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """Beside each row of needle recall the same length at the other depths, which are not the guide's."""
    full: dict[str, Threshold] = {}
    for row in table.values():
        length = _needle_length(row)
        for cell, (_, of_cell) in NEEDLE_CELLS.items():
            metric = f"needle_recall.{cell}"
            if of_cell == length:
                full[f"needle.recall.{cell}"] = (
                    row
                    if metric == row.metric
                    else dataclasses.replace(
                        row, id=f"needle.recall.{cell}", metric=metric, tier="assurance", source="ours"
                    )
                )
        if length is None:
            full[row.id] = row
    return full


def _needle_length(row: Threshold) -> int | None:
    metric, _, cell = row.metric.partition(".")
    return NEEDLE_CELLS[cell][1] if metric == "needle_recall" else None


def _changed(table: Mapping[str, Threshold], path: Path) -> dict[str, Threshold]:
    changed = dict(table)
    for threshold_id, change in _read_changes(path).items():
        if threshold_id not in table:
            known = ", ".join(table)
            raise UsageError(f"{path}: no threshold is called {threshold_id!r}; there are: {known}")
        changed[threshold_id] = _change(table[threshold_id], change, f"{path}: {threshold_id}")
    return changed


def _read_changes(path: Path) -> Mapping[str, Any]:
    try:
        document = _toml.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"{path}: not a TOML file ({error})") from error
    unknown = next((key for key in document if key != "thresholds"), None)
    if unknown is not None:
        raise UsageError(f'{path}: unknown table {unknown!r}; write [thresholds."ID"] tables only')
    changes = document.get("thresholds")
    if not isinstance(changes, dict) or not changes:
        raise UsageError(f'{path}: it changes nothing; write a [thresholds."ID"] table with a limit')
    return changes


def _change(row: Threshold, change: Any, where: str) -> Threshold:
    if not isinstance(change, dict) or not change:
        raise UsageError(f"{where}: {change!r} is no table; write limit = NUMBER below the table's head")
    unknown = next((key for key in change if key not in CHANGEABLE), None)
    if unknown is not None:
        # An id written without quotes makes nested tables, and its second half shows up here.
        raise UsageError(
            f"{where}: {unknown!r} cannot be changed, only {' and '.join(CHANGEABLE)}; quote ids with dots"
        )
    if "limit" in change:
        limit = _limit(change["limit"], row.unit, where)
        row = dataclasses.replace(row, limit=limit, changed_from=row.limit if limit != row.limit else None)
    if "statistic" in change:
        row = dataclasses.replace(row, statistic=_statistic(change["statistic"], row.metric, where))
    return row


def _limit(value: Any, unit: str, where: str) -> float:
    low, high = _RANGES.get(unit, (0.0, math.inf))
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE < value < _HUGE:
        raise UsageError(f"{where}: limit is {value!r}; it must be a finite number")
    if not low <= value <= high:
        span = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise UsageError(f"{where}: limit is {value!r}; a limit in {unit} must be {span}")
    return float(value)


def _statistic(value: Any, metric: str, where: str) -> str:
    known = METRICS[metric].statistics
    if value not in known:
        raise UsageError(f"{where}: statistic is {value!r}; {metric} has: {', '.join(known)}")
    return str(value)
