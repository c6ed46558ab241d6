"""The load levels of a run: the profile's, changed where the user says so, and those that the user adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from math import isfinite

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.load_names import TRACE, concurrency_of, level_name, rate_name, rate_of
from pytest_gptoss.model.message import listed, say
from pytest_gptoss.scenarios.open_levels import closed_like, open_level, resolved, with_slo

__all__ = ["added_names", "changes", "planned_levels", "why_absent"]

ROUNDS = 4
"""Requests for each one in flight, at a level that the profile does not know."""


def planned_levels(profile: Mapping[str, LoadShape], task: LoadTask) -> dict[str, LoadShape]:
    """The run's levels by name, closed loops by concurrency, then open ones by rate, then a trace.

    Closed ones are the profile's, or those that the user names; open ones are the profile's and those that
    the user adds. A closed level that the profile does not know is shaped like the next lower one that it
    knows, with enough requests for its concurrency; an open one like the profile's largest closed one.

    Raises UsageError when a level has fewer requests than it keeps in flight, or no end that it can come to.
    """
    closed = {name: shape for name, shape in profile.items() if shape.arrivals is None}
    levels = {name: shape for name, shape in profile.items() if shape.arrivals is not None}
    plain = _plain(closed or {name: closed_like(shape, ROUNDS) for name, shape in levels.items()})
    for rate in task.rates or ():
        name = rate_name(rate)
        levels[name] = open_level(levels.get(name), plain[-1], rate, task)
    if task.trace is not None:
        levels[TRACE] = task.trace
    _refuse_idle(levels, task)
    if task.concurrency is not None:
        closed = {level_name(each): _closed_loop(closed, plain, each) for each in task.concurrency}
    levels = {**closed, **levels}
    levels = {name: _changed(name, shape, task) for name, shape in levels.items()}
    return dict(sorted(levels.items(), key=_place))


def added_names(task: LoadTask) -> list[str]:
    """Names of the open levels that the user adds to those of the profile."""
    return [*map(rate_name, task.rates or ()), *([] if task.trace is None else [TRACE])]


def changes(profile: Mapping[str, LoadShape], levels: Mapping[str, LoadShape]) -> list[str]:
    """One line for each thing that a level of the profile asks otherwise in this run."""
    words = {"requests": say("requests"), "prompt_tokens": say("prompt tokens"),
             "max_tokens": say("output tokens"), "endpoint": say("endpoint")}  # fmt: skip
    lines: list[str] = []
    for field, what in words.items():
        pairs = [
            (name, getattr(profile[name], field), getattr(shape, field))
            for name, shape in levels.items()
            if name in profile
        ]
        other = [
            say("{name} {new} (profile: {old})", name=name, new=new, old=old)
            for name, old, new in pairs
            if old != new and not (field == "requests" and profile[name].duration_s)
        ]
        if other:
            lines.append(
                say("load differs from the profile's, {what}: {other}", what=what, other=listed(other))
            )
    return lines


def why_absent(level: str, levels: Mapping[str, LoadShape]) -> str | None:
    """Why a level cannot be measured in a run that has these ``levels``, in a line; None when it can."""
    if level in levels:
        return None
    concurrency = concurrency_of(level)
    if concurrency is None and (level == TRACE or isfinite(rate_of(level))):
        return say(
            "load level {level} is not in this run, which has {levels}: add it with {option}, or deselect "
            "its rows with -k 'not {level}'",
            level=level,
            levels=listed(levels),
            option="--gptoss-trace" if level == TRACE else "--gptoss-rate",
        )
    if concurrency is None:
        return say(
            "load level {level} is not in this run, which has {levels}: add it to the profile",
            level=level,
            levels=listed(levels),
        )
    run = ",".join(str(shape.concurrency) for shape in levels.values() if shape.arrivals is None)
    return say(
        "load level {level} is not in this run, which has --gptoss-concurrency {run}: "
        "add {concurrency} to it, or deselect its rows with -k 'not {level}'",
        level=level,
        run=run,
        concurrency=concurrency,
    )


def _place(level: tuple[str, LoadShape]) -> tuple[int, float]:
    arrivals = level[1].arrivals
    if arrivals is None:
        return 0, level[1].concurrency
    return (1, arrivals.rate) if arrivals.trace is None else (2, 0)


def _plain(closed: Mapping[str, LoadShape]) -> list[LoadShape]:
    """Closed levels by concurrency; those whose name says more were shaped for a purpose of their own."""
    plain = [shape for name, shape in closed.items() if concurrency_of(name) is not None]
    return sorted(plain or closed.values(), key=lambda shape: shape.concurrency)


def _closed_loop(
    profile: Mapping[str, LoadShape], shapes: Sequence[LoadShape], concurrency: int
) -> LoadShape:
    """The shape of ``--gptoss-concurrency``'s level: the profile's, or one like the next lower of some."""
    known = profile.get(level_name(concurrency))
    if known is not None:
        return known
    lower = [shape for shape in shapes if shape.concurrency <= concurrency]
    like = lower[-1] if lower else shapes[0]
    return dataclasses.replace(
        like, concurrency=concurrency, requests=max(like.requests, ROUNDS * concurrency)
    )


def _changed(name: str, shape: LoadShape, task: LoadTask) -> LoadShape:
    """The shape with what the user says of all levels; raises UsageError for too few requests."""
    shape = with_slo(shape, task)
    if task.ramp_up_s is not None:
        shape = dataclasses.replace(shape, ramp_up_s=task.ramp_up_s)
    if shape.arrivals is not None and shape.arrivals.trace is not None:
        return shape
    changed = dataclasses.replace(
        shape,
        max_tokens=task.max_tokens or shape.max_tokens,
        prompt_tokens=task.prompt_tokens or shape.prompt_tokens,
        endpoint=task.endpoint,
    )
    if shape.arrivals is not None:
        return resolved(name, changed, task)
    changed = dataclasses.replace(changed, requests=task.requests or shape.requests)
    if changed.requests < changed.concurrency:
        raise UsageError(
            f"--gptoss-num-requests is {changed.requests}, fewer than the {changed.concurrency} that load "
            f"level {name} keeps in flight: raise it, or leave the level out with --gptoss-concurrency"
        )
    return changed


def _refuse_idle(opened: Mapping[str, LoadShape], task: LoadTask) -> None:
    """Raise UsageError for a duration that no level of the run has."""
    if task.duration_s is not None and not opened:
        raise UsageError(
            f"--gptoss-duration is {task.duration_s:g}, and all levels of this run are closed loops, which "
            "end after their requests: add --gptoss-rate or --gptoss-trace, or use --gptoss-num-requests"
        )
