"""The load levels of a run: the profile's, changed where the user says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.load_names import level_name

__all__ = ["changes", "planned_levels"]

ROUNDS = 4
"""Requests for each one in flight, at a level that the profile does not know."""


def planned_levels(profile: Sequence[LoadShape], task: LoadTask) -> dict[int, LoadShape]:
    """The run's levels by concurrency, lowest first.

    A level that the profile does not know is shaped like the next lower one that it knows, with enough
    requests for its concurrency. Raises UsageError when a level has fewer requests than it keeps in flight.
    """
    wanted = [shape.concurrency for shape in profile] if task.concurrency is None else task.concurrency
    return {concurrency: _level(profile, task, concurrency) for concurrency in sorted(wanted)}


def changes(profile: Sequence[LoadShape], levels: Iterable[LoadShape]) -> list[str]:
    """One line for each thing that a level of the profile asks otherwise in this run."""
    known = {shape.concurrency: shape for shape in profile}
    words = {"requests": "requests", "prompt_tokens": "prompt tokens", "max_tokens": "output tokens",
             "endpoint": "endpoint"}  # fmt: skip
    lines = []
    for field, what in words.items():
        pairs = [
            (shape.concurrency, getattr(known[shape.concurrency], field), getattr(shape, field))
            for shape in levels
            if shape.concurrency in known
        ]
        other = [f"{level_name(level)} {new} (profile: {old})" for level, old, new in pairs if old != new]
        if other:
            lines.append(f"load differs from the profile's, {what}: {', '.join(other)}")
    return lines


def _level(profile: Sequence[LoadShape], task: LoadTask, concurrency: int) -> LoadShape:
    known: Mapping[int, LoadShape] = {shape.concurrency: shape for shape in profile}
    lower = [each for each in known if each <= concurrency]
    like = known[max(lower) if lower else min(known)]
    usual = like.requests if concurrency in known else max(like.requests, ROUNDS * concurrency)
    shape = dataclasses.replace(
        like,
        concurrency=concurrency,
        requests=task.requests or usual,
        max_tokens=task.max_tokens or like.max_tokens,
        prompt_tokens=task.prompt_tokens or like.prompt_tokens,
        endpoint=task.endpoint,
    )
    if shape.requests < concurrency:
        raise UsageError(
            f"--gptoss-num-requests is {shape.requests}, fewer than the {concurrency} that load level "
            f"{level_name(concurrency)} keeps in flight: raise it, or leave the level out with "
            "--gptoss-concurrency"
        )
    return shape
