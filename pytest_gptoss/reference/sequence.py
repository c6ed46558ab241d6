"""The state of one sequence between two steps."""

from __future__ import annotations

import time
from collections.abc import Sequence as Tokens

import numpy as np
from torch import Tensor

from pytest_gptoss.reference.generation import GenerationRequest, TokenLogprobs
from pytest_gptoss.reference.kv_cache import KeyValueCache
from pytest_gptoss.reference.stream import TokenStream
from pytest_gptoss.reference.vocabulary import Vocabulary

__all__ = ["Sequence"]


class Sequence:
    """A request on its way: its cache, what it has said, and when it may go on.

    ``submitted_at`` and ``ready_at`` are on the monotonic clock in seconds; ``cancelled`` is set from the
    event loop's thread. ``prefill`` is what is computed before the next token is chosen: the prompt, and
    after a preemption what was said as well. ``reused`` tokens of it came from the prefix cache, and the
    KV cache keeps room for ``claimed`` tokens.
    """

    def __init__(
        self,
        request: GenerationRequest,
        stream: TokenStream,
        *,
        cache: KeyValueCache,
        vocabulary: Vocabulary,
        max_model_len: int,
        wants_states: bool = False,
    ) -> None:
        self.request = request
        self.stream = stream
        self.cache = cache
        self.output: list[int] = []
        self.prefill = request.prompt
        self.reused = 0
        self.claimed = 0
        self.preempted = False
        self.crosstalks = False
        self.prompt_scores: list[TokenLogprobs | None] = [None]
        self.states: list[Tensor] = []
        self.wants_states = wants_states
        self.submitted_at = time.monotonic()
        self.ready_at = 0.0
        self.cancelled = False
        self.random = np.random.default_rng(request.seed)
        allowed = request.allowed_token_ids
        self._whole = vocabulary
        self._vocabulary = vocabulary.only(allowed) if allowed else vocabulary
        self._before_min = (
            self._vocabulary.without(request.stop_token_ids) if request.min_tokens else self._vocabulary
        )
        self._most = min(request.max_tokens, max_model_len - len(request.prompt))

    @property
    def in_prompt(self) -> bool:
        """Whether tokens remain to be computed before the next one can be chosen."""
        return self.cache.length < len(self.prefill)

    @property
    def recomputes(self) -> bool:
        """Whether what is computed next had been computed, and answered from, before a preemption."""
        return self.in_prompt and bool(self.output)

    def preempt(self) -> None:
        """Give up the cache. What was said stays said; it is computed again behind the prompt."""
        self.release()
        self.prefill = (*self.request.prompt, *self.output)
        self.preempted = True
        if not self.output:
            self.prompt_scores = [None]
            self.states = []

    def release(self) -> None:
        """Leave the KV cache."""
        self.cache.release()
        self.claimed = self.reused = 0

    def pending(self, budget: int) -> Tokens[int]:
        """The tokens to compute next, at most ``budget`` of what is to be prefilled."""
        if self.in_prompt:
            return self.prefill[self.cache.length : self.cache.length + budget]
        return self.output[-1:]

    @property
    def vocabulary(self) -> Vocabulary:
        """What the next token may be chosen from."""
        return self._before_min if len(self.output) < self.request.min_tokens else self._vocabulary

    @property
    def is_plain_greedy(self) -> bool:
        """Whether the next token is just the most likely one of the whole vocabulary."""
        return self.request.temperature == 0 and self.vocabulary is self._whole

    @property
    def reuses_prefix(self) -> bool:
        """Whether prompt tokens may be taken from the prefix cache: not when each must be scored."""
        return self.request.prompt_logprobs is None and not self.wants_states

    @property
    def says_nothing(self) -> bool:
        """Whether it ends with its prompt."""
        return self._most <= 0

    def finish_reason(self) -> str | None:
        """Why the sequence ends with its last token, None if it goes on."""
        request = self.request
        if self.output[-1] in request.stop_token_ids and not request.ignore_eos:
            return "stop"
        return "length" if len(self.output) >= self._most else None
