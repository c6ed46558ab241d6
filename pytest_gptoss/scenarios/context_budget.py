"""How long a context a scenario needs, as far as that is known before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gptoss.model.inputs import Prompt, TokenSequence

__all__ = ["FRAME_TOKENS", "fewest_tokens", "longest", "scored", "with_answer"]

FRAME_TOKENS = 60
"""Of a chat prompt that are not the messages': harmony's system message and its marks."""
BYTES_A_TOKEN = 5
"""Few texts have more bytes of UTF-8 to a token."""


def fewest_tokens(prompt: Prompt) -> int:
    """A lower bound on a chat prompt's tokens, near the truth for prose."""
    sizes = (len(message.content.encode("utf-8", "replace")) for message in prompt.messages)
    return FRAME_TOKENS + sum(sizes) // BYTES_A_TOKEN


def longest(prompts: Iterable[Prompt]) -> int:
    """``fewest_tokens`` of the longest prompt, 0 of none."""
    return max(map(fewest_tokens, prompts), default=0)


def with_answer(prompts: Iterable[Prompt], max_tokens: int) -> int:
    """Most tokens of a prompt and the answer that it may have; 0 of no prompts."""
    return max((fewest_tokens(each) + (each.max_tokens or max_tokens) for each in prompts), default=0)


def scored(sequences: Iterable[TokenSequence]) -> int:
    """One token more than the longest: a scoring request generates one."""
    return max((len(each.token_ids) + 1 for each in sequences), default=0)
