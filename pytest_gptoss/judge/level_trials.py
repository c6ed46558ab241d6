"""What all metrics of a load level share: their declaration, and the trials of the level that they take.

A metric takes the trials of one level by keyword. With several trials a figure is their mean and its interval
Student's over the trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.instrument import Clock
from pytest_gptoss.judge.intervals import student
from pytest_gptoss.judge.load import why_incomplete
from pytest_gptoss.judge.metric import Compute, metric_family
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.load_names import is_open_level, read_level
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Load, Scenario

__all__ = [
    "Trial",
    "levels_of",
    "nothing",
    "of_level",
    "over_trials",
    "sound",
    "sound_and_stable",
    "sound_levels",
    "uncached_prompts",
]

Trial: TypeAlias = Measurement[LoadLevel]
_F = TypeVar("_F", bound=Compute)


def _trials(roles: Roles, level: str) -> Mapping[str, Scenario]:
    return {f"trial_{trial}": Load(roles.subject, level, trial) for trial in range(roles.trials)}


# -- rows of a level that must hold before a figure means anything -------------------------------


def nothing(level: str) -> tuple[str, ...]:
    """No row."""
    return ()


def uncached_prompts(level: str) -> tuple[str, ...]:
    """Prompts were computed."""
    return (f"performance.uncached.{level}",)


def sound(level: str) -> tuple[str, ...]:
    """All requests are whole, and their prompts were computed."""
    return (f"performance.completed.{level}", *uncached_prompts(level))


def sound_and_stable(level: str) -> tuple[str, ...]:
    """As ``sound``, and the queue of an open level did not grow: its latencies would grow with it."""
    return (*sound(level), f"performance.stable.{level}") if is_open_level(level) else sound(level)


def of_level(
    figure: str,
    statistics: tuple[str, ...],
    *,
    rests_on: Callable[[str], tuple[str, ...]] = sound,
    clock: Clock | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Callable[[_F], _F]:
    """Declare a figure of every load level; ``rests_on``: the level's rows without which it means nothing."""
    return metric_family(
        figure,
        of=read_level,
        needs=_trials,
        depends_on=rests_on,
        statistics=statistics,
        clock=clock,
        arguments=arguments,
    )


# -- the trials ---------------------------------------------------------------------------------


def levels_of(trials: Mapping[str, Trial]) -> list[LoadLevel]:
    """The level as each trial measured it; raises InsufficientData for one that was not measured whole."""
    return [sound_items(trial, "levels")[0] for trial in trials.values()]


def sound_levels(trials: Mapping[str, Trial]) -> list[LoadLevel]:
    """The levels, every request of which is complete; raises InsufficientData otherwise."""
    levels = levels_of(trials)
    for level in levels:
        for request in level.requests:
            why = why_incomplete(request, level.shape)
            if why is not None:
                raise InsufficientData(say("request {id} is incomplete: {why}", id=request.id, why=why))
        if not level.requests:
            raise InsufficientData(say("the level has no requests: measure it again"))
    return levels


def over_trials(figures: Sequence[float], unit: str) -> Estimate:
    """The mean of one figure a trial, with Student's interval."""
    mean = math.fsum(figures) / len(figures)
    return Estimate(mean, unit, len(figures), student(figures), {"trials": list(figures)})
