"""The ids of the one prompt that the server tells, and the log-probabilities that it gives any token."""

from __future__ import annotations

from typing import Any

from pytest_gptoss.model.gptoss import END, MESSAGE, START

__all__ = ["PROMPT", "prompt_logprobs"]

PROMPT = (START, 1428, MESSAGE, 12194, END)
"""GPT-OSS's turn of a user who says "Hi", by which clients know its tokenizer."""

_OWN = -0.5
_MOST = 20


def prompt_logprobs(asked: Any) -> list[Any] | None:
    """What a completion request's token ids score: each is the likeliest. None where it asks for no scores.

    ``asked`` is the request's body, an object.
    """
    prompt, top = asked.get("prompt"), asked.get("prompt_logprobs")
    wants = type(top) is int and 0 <= top <= _MOST
    if not wants or not isinstance(prompt, list) or not all(type(each) is int for each in prompt):
        return None
    return [None, *(_likeliest(token, top) for token in prompt[1:])]


def _likeliest(token: int, top: int) -> dict[str, dict[str, float]]:
    """A token's log-probability and those of ``top`` - 1 others, each less likely than the one before."""
    return {
        str(token + place): {"logprob": _OWN - 1.5 * place, "rank": place + 1} for place in range(max(top, 1))
    }
