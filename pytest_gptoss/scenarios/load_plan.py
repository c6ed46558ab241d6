"""The load levels of a run: the profile's, changed where the user says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.load_names import concurrency_of, level_name
from pytest_gptoss.model.message import listed, say

__all__ = ["changes", "planned_levels", "why_absent"]

ROUNDS = 4
"""Requests for each one in flight, at a level that the profile does not know."""


def planned_levels(profile: Mapping[str, LoadShape], task: LoadTask) -> dict[str, LoadShape]:
    """The run's levels by name, lowest concurrency first: the profile's, or those that the user names.

    A level that the profile does not know is shaped like the next lower one that it knows, with enough
    requests for its concurrency. Raises UsageError when a level has fewer requests than it keeps in flight.
    """
    if task.concurrency is None:
        levels = dict(profile)
    else:
        levels = {level_name(each): _closed_loop(profile, each) for each in task.concurrency}
    levels = {name: _changed(name, shape, task) for name, shape in levels.items()}
    return dict(sorted(levels.items(), key=lambda level: level[1].concurrency))


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
            if old != new
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
    if concurrency is None:
        return say(
            "load level {level} is not in this run, which has {levels}: add it to the profile",
            level=level,
            levels=listed(levels),
        )
    run = ",".join(str(shape.concurrency) for shape in levels.values())
    return say(
        "load level {level} is not in this run, which has --gptoss-concurrency {run}: "
        "add {concurrency} to it, or deselect its rows with -k 'not {level}'",
        level=level,
        run=run,
        concurrency=concurrency,
    )


def _closed_loop(profile: Mapping[str, LoadShape], concurrency: int) -> LoadShape:
    """The shape of ``--gptoss-concurrency``'s level: the profile's, or one like the next lower there."""
    known = profile.get(level_name(concurrency))
    if known is not None:
        return known
    # Levels whose name says more than a concurrency were shaped for a purpose of their own.
    plain = [shape for name, shape in profile.items() if concurrency_of(name) is not None]
    shapes = sorted(plain or profile.values(), key=lambda shape: shape.concurrency)
    lower = [shape for shape in shapes if shape.concurrency <= concurrency]
    like = lower[-1] if lower else shapes[0]
    return dataclasses.replace(
        like, concurrency=concurrency, requests=max(like.requests, ROUNDS * concurrency)
    )


def _changed(name: str, shape: LoadShape, task: LoadTask) -> LoadShape:
    """The shape with what the user says of all levels; raises UsageError for too few requests."""
    changed = dataclasses.replace(
        shape,
        requests=task.requests or shape.requests,
        max_tokens=task.max_tokens or shape.max_tokens,
        prompt_tokens=task.prompt_tokens or shape.prompt_tokens,
        endpoint=task.endpoint,
    )
    if changed.requests < changed.concurrency:
        raise UsageError(
            f"--gptoss-num-requests is {changed.requests}, fewer than the {changed.concurrency} that load "
            f"level {name} keeps in flight: raise it, or leave the level out with --gptoss-concurrency"
        )
    return changed
