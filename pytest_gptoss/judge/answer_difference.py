"""Where two answers to one question part: by their texts, their ending, their token ids."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.judge.evidence import first_difference
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation

__all__ = ["answer_difference"]

_SAME_IDS = say(", from the same token ids: the server's parser makes the difference, not the device")
_SHOWN = 40


def answer_difference(left: Generation, right: Generation) -> str | None:
    """Where two answers part; None when they are the same."""
    for name in ("reasoning", "content", "finish_reason"):
        if getattr(left, name) != getattr(right, name):
            same = "" if left.token_ids is None or left.token_ids != right.token_ids else _SAME_IDS
            return say(
                "{name} is {ours} and {theirs}{same}",
                name=name,
                ours=_shown(getattr(left, name)),
                theirs=_shown(getattr(right, name)),
                same=same,
            )
    ours, theirs = left.token_ids, right.token_ids
    if ours is not None and theirs is not None and ours != theirs:
        return say("tokens part at position {position}", position=first_difference(ours, theirs))
    return None


def _shown(value: str | Sequence[int] | None) -> str:
    return repr(value[:_SHOWN]) if isinstance(value, str) else repr(value)
