"""The threshold table as data: shipped profiles, with a user's changes applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gptoss.judge.forced_rows import with_forced
from pytest_gptoss.judge.profile_files import profile_document, profile_names
from pytest_gptoss.judge.profile_levels import read_level_line, read_slo
from pytest_gptoss.judge.profile_rows import with_all_depths, with_levels
from pytest_gptoss.judge.threshold_changes import read_changes, with_changes
from pytest_gptoss.judge.workload_changes import with_workload_changes
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.load_names import level_name
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["Pace", "Profile", "ProfileWorkload", "load_profile", "profile_names"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens a second that a profile expects: of prompts, and of one answer."""

    read: float
    written: float


@dataclass(frozen=True, slots=True)
class ProfileWorkload:
    """What a profile measures its thresholds on: ``prompts`` and ``corpus`` name shipped sets.

    ``levels`` are its load levels by name, the lowest concurrency first. ``pace`` is for estimates of the
    time that a run takes, None where the profile states none. ``long_corpus`` names the shipped set that is
    scored at chunk edges, ``chunk_tokens`` is the chunk of a server that tells none.
    """

    prompts: str
    corpus: str
    max_tokens: int
    top_logprobs: int
    max_scored_tokens: int
    levels: Mapping[str, LoadShape]
    pace: Pace | None = None
    long_corpus: str = "long-default"
    chunk_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Profile:
    """A complete table, by threshold id in reading order, with its workload."""

    name: str
    thresholds: Mapping[str, Threshold]
    workload: ProfileWorkload

    @property
    def changed(self) -> tuple[Threshold, ...]:
        """The thresholds whose limit or statistic a user has changed."""
        return tuple(
            row
            for row in self.thresholds.values()
            if row.changed_from is not None or row.statistic_from is not None
        )


def load_profile(
    name: str,
    *,
    overrides: Path | None = None,
    full_needle_grid: bool = False,
    concurrency: Iterable[int] | None = None,
    open_levels: Iterable[str] = (),
    forced: bool = False,
) -> Profile:
    """Load a profile, with the changes of ``overrides`` applied, which may add load levels.

    ``full_needle_grid``: each length of its needle cells at every depth. ``concurrency``: the run's closed
    levels (None: the profile's), ``open_levels``: names of open ones beside the profile's; a level that the
    profile does not know gets assurance rows like the others'. ``forced``: the rows that have such a
    statistic are gated under teacher forcing.

    Raises UsageError for a name that is none, and for a file naming it, the threshold, the key
    and the rule.
    """
    document = profile_document(name)
    try:
        table = {key: Threshold(id=key, **row) for key, row in document["thresholds"].items()}
        workload = _workload(document["workload"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"profile {name!r} is incomplete ({type(error).__name__}: {error}): it takes [workload] and "
            'complete [thresholds."ID"] tables, or begins with extends = "PROFILE"'
        ) from error
    if full_needle_grid:
        table = with_all_depths(table)
    changes = None if overrides is None else read_changes(overrides)
    if changes is not None and changes.workload is not None:
        shapes = with_workload_changes(workload.levels, changes.workload, changes.path)
        workload = dataclasses.replace(workload, levels=shapes)
    levels = _names(workload.levels, concurrency, open_levels)
    table = with_levels(table, levels)
    if forced:
        table = with_forced(table)
    if changes is not None:
        table = with_changes(table, changes, levels)
    return Profile(name, table, workload)


def _names(
    profile: Mapping[str, LoadShape], concurrency: Iterable[int] | None, added: Iterable[str]
) -> list[str]:
    """Names of the run's levels: the closed ones, then the open ones."""
    closed = [name for name, shape in profile.items() if shape.arrivals is None]
    opened = [name for name, shape in profile.items() if shape.arrivals is not None]
    return [
        *dict.fromkeys((*(closed if concurrency is None else map(level_name, concurrency)), *opened, *added))
    ]


def _workload(document: Mapping[str, Any]) -> ProfileWorkload:
    load = document["load"]
    slo = read_slo(document["slo"]) if "slo" in document else None
    usual = {"prompt_tokens": load["prompt_tokens"]}
    levels = dict(read_level_line(line, slo, usual=usual) for line in load["levels"])
    pace = Pace(**document["pace"]) if "pace" in document else None
    plain = {key: value for key, value in document.items() if key not in ("load", "pace", "slo")}
    return ProfileWorkload(**plain, levels=levels, pace=pace)
