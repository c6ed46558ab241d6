"""How much the engine takes on at once, in vLLM's terms."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.model.errors import UsageError

__all__ = ["BLOCK", "Limits", "blocks_of"]

BLOCK = 16
"""Tokens in a block of the KV cache."""


def blocks_of(tokens: int) -> int:
    """Blocks that so many tokens of one sequence take."""
    return -(-tokens // BLOCK)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a step may compute and what the running sequences may hold.

    ``max_num_batched_tokens`` is the budget of a step: each decoding sequence takes one, prompts share the
    rest. ``kv_cache_tokens`` bounds the keys and values of all running sequences; None is no bound.

    Raises:
        UsageError: the limits contradict each other.
    """

    max_num_seqs: int = 16
    max_num_batched_tokens: int = 512
    kv_cache_tokens: int | None = None

    def __post_init__(self) -> None:
        tokens, sequences = self.max_num_batched_tokens, self.max_num_seqs
        if tokens < sequences:
            raise UsageError(
                f"--max-num-batched-tokens {tokens} is less than --max-num-seqs {sequences}, and each "
                "sequence that decodes takes a token of every step: raise the first or lower the second"
            )
        if self.kv_cache_tokens is not None and self.kv_cache_tokens < BLOCK:
            raise UsageError(
                f"--kv-cache-tokens {self.kv_cache_tokens} holds no block of {BLOCK} tokens: "
                "give at least the longest prompt with its answer, or leave it out"
            )

    @property
    def kv_cache_blocks(self) -> int | None:
        """Whole blocks that the KV cache holds, None without a bound."""
        return None if self.kv_cache_tokens is None else self.kv_cache_tokens // BLOCK

    def max_model_len(self, asked: int | None, most: int) -> int:
        """Tokens a sequence may have: what is ``asked``, else what the model and the KV cache allow.

        Raises:
            UsageError: more is asked than the KV cache holds, so that such a sequence could never finish.
        """
        blocks = self.kv_cache_blocks
        held = most if blocks is None else blocks * BLOCK
        if asked is not None and asked > held and blocks is not None:
            raise UsageError(
                f"--max-model-len {asked} is more than the {held} tokens that --kv-cache-tokens "
                f"{self.kv_cache_tokens} holds in blocks of {BLOCK}: lower the first or raise the second"
            )
        return asked or min(most, held)
