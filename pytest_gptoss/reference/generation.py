"""What the HTTP face asks of the engine and what it gets back, one token at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pytest_gptoss.reference.histogram import Histogram
from pytest_gptoss.reference.limits import Limits

__all__ = [
    "EngineStats",
    "GenerationRequest",
    "GenerationStream",
    "GenerationToken",
    "Guide",
    "InferenceEngine",
    "TokenLogprobs",
]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to continue. ``max_tokens`` 0 with ``prompt_logprobs`` only scores the prompt.

    ``logprobs`` and ``prompt_logprobs`` are how many alternatives to return (0 returns the actual
    token alone), None for none. ``stop_token_ids`` end the sequence unless ``ignore_eos``; before
    ``min_tokens`` they cannot be chosen. ``allowed_token_ids``, unless empty, are the only ones that can
    be; log-probabilities stay those of the whole vocabulary. Temperature 0 is greedy, lowest id first on
    exact ties.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    allowed_token_ids: frozenset[int] = frozenset()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    cache_salt: str | None = None
    guide: Guide | None = None


class Guide(Protocol):
    """Decides which tokens may come next, whatever the temperature."""

    def choose(self, said: Sequence[int], likely: Iterable[int]) -> int:
        """The next token after the output so far; ``likely`` gives every id, the most likely first."""


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Log-probabilities at one position, in nats of the unmodified distribution (temperature 1).

    ``top`` holds (token id, logprob), most likely first; ``rank`` of the actual token counts from 1.
    """

    logprob: float
    rank: int
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class GenerationToken:
    """One generated token; the last one carries ``finish_reason`` "stop" or "length"."""

    token_id: int
    logprobs: TokenLogprobs | None = None
    finish_reason: str | None = None


class GenerationStream(Protocol):
    """A running sequence. Iterating yields tokens as they are computed; errors are raised there."""

    @property
    def prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...] | None:
        """Per prompt position (the first is None), available once the first token or the end came."""

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens taken from the prefix cache."""

    def __aiter__(self) -> AsyncIterator[GenerationToken]: ...

    def cancel(self) -> None:
        """Free the slot at the next step; safe to call twice and after the end."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since start, for /metrics. ``first_token_s``: from submitting to the first token.

    ``kv_cache_usage`` is the used share of the KV cache's ``kv_cache_blocks``: 0 and None without a bound.
    """

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    preemptions: int = 0
    kv_cache_usage: float = 0.0
    kv_cache_blocks: int | None = None
    first_token_s: Histogram = field(default_factory=Histogram)


class InferenceEngine(Protocol):
    """The engine as the HTTP face sees it; every method is called on the event loop's thread."""

    @property
    def max_model_len(self) -> int:
        """Longest sequence, prompt and answer together, in tokens."""

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary; token ids are below it."""

    @property
    def limits(self) -> Limits:
        """What a step may compute and what the running sequences may hold."""

    @property
    def stats(self) -> EngineStats:
        """Counters so far."""

    def submit(self, request: GenerationRequest) -> GenerationStream:
        """Queue a sequence; it joins the running batch between two steps."""

    async def embed(self, token_ids: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Hidden states after the final norm, float32 [len(token_ids), hidden size]."""

    def close(self) -> None:
        """Stop the engine's thread; running streams end with an error."""
