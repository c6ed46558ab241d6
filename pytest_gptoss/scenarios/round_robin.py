"""A few prompts of each kind, in place of the first few of a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pytest_gptoss.model.inputs import Prompt, TokenSequence

__all__ = ["round_robin"]

_Tagged = TypeVar("_Tagged", Prompt, TokenSequence)


def round_robin(prompts: Iterable[_Tagged]) -> tuple[_Tagged, ...]:
    """All prompts or sequences, ordered so that any first part of them has each tag about equally often.

    The tags take turns, the most frequent first; each takes its next prompt that no other has taken.
    Prompts without a tag take turns as one more.
    """
    waiting: dict[str, list[_Tagged]] = {}
    for prompt in prompts:
        for tag in prompt.tags or ("",):
            waiting.setdefault(tag, []).append(prompt)
    taken: dict[str, _Tagged] = {}
    turns = sorted(waiting, key=lambda tag: -len(waiting[tag]))
    while waiting:
        for tag in [each for each in turns if each in waiting]:
            left = [each for each in waiting[tag] if each.id not in taken]
            if left:
                taken[left[0].id] = left[0]
            waiting[tag] = left[1:]
            if not waiting[tag]:
                del waiting[tag]
    return tuple(taken.values())
