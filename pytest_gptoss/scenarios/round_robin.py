"""A few prompts of each kind, in place of the first few of a file."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gptoss.model.inputs import Prompt

__all__ = ["round_robin"]


def round_robin(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """All prompts, ordered so that any first part of them has each tag about equally often.

    The tags take turns, the most frequent first; each takes its next prompt that no other has taken.
    Prompts without a tag take turns as one more.
    """
    waiting: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        for tag in prompt.tags or ("",):
            waiting.setdefault(tag, []).append(prompt)
    taken: dict[str, Prompt] = {}
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
