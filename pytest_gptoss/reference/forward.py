"""One forward pass for pieces of many sequences, and the logits that follow from it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from pytest_gptoss.reference.attention import Span, Step
from pytest_gptoss.reference.checkpoint import LoadedModel
from pytest_gptoss.reference.defects import Faults, expert_lost
from pytest_gptoss.reference.kv_cache import CachePool, CacheShape, KeyValueCache
from pytest_gptoss.reference.slips import SOUND, Slip

__all__ = ["Forward", "Piece"]

_UNMASKED = {"full_attention": None, "sliding_attention": None}
_MOST_LOGITS = 2**24


@dataclass(frozen=True, slots=True)
class Piece:
    """The next tokens of one sequence, to be computed after those its cache holds."""

    cache: KeyValueCache
    token_ids: Sequence[int]
    slip: Slip = SOUND


@dataclass(frozen=True)
class Forward:
    """The loaded model with what the engine does wrong on purpose. Not safe for two threads."""

    loaded: LoadedModel
    faults: Faults = field(default_factory=Faults)
    stopping: threading.Event = field(default_factory=threading.Event)
    passes: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    """Numbers the forward passes."""

    def new_cache(self) -> KeyValueCache:
        """An empty cache for one sequence."""
        return KeyValueCache(self.pool)

    @cached_property
    def pool(self) -> CachePool:
        """Where the keys and values of all sequences live."""
        config = self.loaded.model.config
        shape = CacheShape(
            layers=config.num_hidden_layers,
            heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            dtype=self.loaded.cache_dtype,
        )
        return CachePool(shape, shift_from=self.faults.kv_shift_from)

    def hidden(self, pieces: Sequence[Piece]) -> list[Tensor]:
        """States after the final norm, [len(token_ids), hidden size] per piece; caches move on.

        Raises:
            ReferenceServerError: ``stopping`` was set meanwhile.
        """
        spans = []
        offset = 0
        for piece in pieces:
            start, count = piece.cache.length, len(piece.token_ids)
            piece.cache.reserve(start + count)
            spans.append(Span(piece.cache, offset, start, count, piece.slip))
            offset += count
        ids = torch.tensor([token for piece in pieces for token in piece.token_ids])
        positions = torch.cat([_positions(span) for span in spans])
        with self._spoilt():
            output = self.loaded.model.model(
                input_ids=self.loaded.vocabulary.rows(ids).unsqueeze(0),
                position_ids=positions.unsqueeze(0),
                attention_mask=_UNMASKED,
                use_cache=False,
                step=Step(spans, self.faults.sinks_in_decode, self.stopping),
            )
        for span in spans:
            span.cache.length += span.count
        states: Tensor = output.last_hidden_state[0]
        return [states[span.offset : span.offset + span.count] for span in spans]

    def _spoilt(self) -> AbstractContextManager[None]:
        """What a defect does to the model for the next pass."""
        every = self.faults.flaky_every
        lost = every is not None and next(self.passes) % every == 0
        return expert_lost(self.loaded.model) if lost else nullcontext()

    def logits(self, states: Tensor, positions: Tensor) -> Tensor:
        """Logits by row, float32 [n, rows], after ``states`` [n, hidden] of tokens at ``positions`` [n]."""
        logits: Tensor = self.loaded.model.lm_head(states).float()
        every = self.faults.nan_every
        if every is not None:
            logits[(positions + 1) % every == 0] = torch.nan
        return logits

    @property
    def logits_at_once(self) -> int:
        """How many positions' logits to compute together, so that their memory stays bounded."""
        return max(1, _MOST_LOGITS // len(self.loaded.vocabulary.copies))


def _positions(span: Span) -> Tensor:
    """Where a span's tokens stand for the rotary embedding, int64 [count]."""
    first = span.start + span.slip.shift
    return torch.arange(first, first + span.count)
