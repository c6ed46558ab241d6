"""Attention over a ragged batch: tokens of many sequences side by side, each with its own cache.

Registered with transformers under :data:`ATTENTION`, so that GptOssForCausalLM's own layers call it. The
formula is that of transformers' eager attention for GPT-OSS: the sink is one more logit in the softmax,
with no value behind it. Sequences that add one token each are taken together, pen by pen; longer
pieces, which are prompts, one by one in blocks of queries, so that the scores stay small.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.reference.attend import Layer, attend
from pytest_gptoss.reference.kv_cache import KeyValueCache, Pen
from pytest_gptoss.reference.slips import SOUND, Slip, attend_halved, attend_neighbour

__all__ = ["ATTENTION", "Single", "Span", "Step", "band", "ragged_attention", "register"]

ATTENTION = "pytest_gptoss_ragged"

_QUERY_BLOCK = 128
_MOST_SCORES = 2**25


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` tokens of one sequence, the first at position ``start``, at ``offset`` in the batch."""

    cache: KeyValueCache
    offset: int
    start: int
    count: int
    slip: Slip = SOUND


@dataclass(frozen=True)
class Single:
    """The spans of one token each whose caches share a pen."""

    pen: Pen
    spans: Sequence[Span]

    @cached_property
    def offsets(self) -> Tensor:
        """Where the tokens are in the batch, int64 [spans]."""
        return torch.tensor([span.offset for span in self.spans])

    @cached_property
    def slots(self) -> Tensor:
        """Where their caches are in the pen, int64 [spans]."""
        return torch.tensor([span.cache.slot for span in self.spans])

    @cached_property
    def key_rows(self) -> Tensor:
        """Where their keys go, int64 [spans]."""
        return torch.tensor([span.start for span in self.spans])

    @cached_property
    def value_rows(self) -> Tensor:
        """Where their values go, int64 [spans]."""
        return torch.tensor([span.cache.value_row(span.start) for span in self.spans])

    @cached_property
    def reach(self) -> int:
        """How many rows of the pen its longest sequence uses."""
        return max(span.start for span in self.spans) + 1

    @cached_property
    def lengths(self) -> Tensor:
        """How many rows each sees, itself included, int64 [spans]."""
        return torch.tensor([span.start + 1 for span in self.spans])

    @cached_property
    def beyond(self) -> Tensor:
        """Which rows are not a tenant's to see, bool [tenants, 1, reach]; one for tenants at rest."""
        lengths = torch.ones(len(self.pen.tenants), dtype=torch.int64)
        lengths[self.slots] = self.lengths
        return _from(lengths, self.reach)

    @cached_property
    def crossed(self) -> tuple[Span, ...]:
        """The spans that attend to a neighbour's keys and values, by a defect."""
        return tuple(span for span in self.spans if span.slip.neighbour is not None)

    def beyond_window(self, window: int) -> Tensor | None:
        """Which of the first ``window`` rows are not there yet, None where all are."""
        return _from(self.lengths, window) if int(self.lengths.min()) < window else None


def _from(lengths: Tensor, rows: int) -> Tensor:
    """Whether a row lies at or beyond each of ``lengths`` [n]: bool [n, 1, rows]."""
    return (torch.arange(rows) >= lengths.unsqueeze(1)).unsqueeze(1)


@dataclass(frozen=True)
class Step:
    """The layout of one forward pass. ``stopping`` ends it between two layers."""

    spans: Sequence[Span]
    sinks_in_decode: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def singles(self) -> tuple[Single, ...]:
        """The spans of one token, pen by pen."""
        by_pen: dict[int, list[Span]] = {}
        for span in self.spans:
            if span.count == 1:
                by_pen.setdefault(span.cache.home.width, []).append(span)
        return tuple(Single(spans[0].cache.home, spans) for spans in by_pen.values())


def ragged_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    sliding_window: int | None,
    s_aux: Tensor,
    step: Step,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer for all spans of a step, caching their keys and values on the way.

    ``query`` [1, heads, tokens, head_dim], ``key`` and ``value`` [1, kv heads, tokens, head_dim], after
    rotary positions; ``s_aux`` [heads] the sinks. Returns [1, tokens, heads, head_dim].
    The mask argument is transformers' and unused: who sees whom follows from the spans.

    Raises:
        ReferenceServerError: the engine is stopping.
    """
    if step.stopping.is_set():
        raise ReferenceServerError("the engine is closing: the forward pass was given up")
    layer = Layer(int(module.layer_idx), sliding_window, s_aux)  # type: ignore[arg-type]
    queries = query[0].transpose(0, 1).to(step.spans[0].cache.home.keys.dtype) * scaling
    output = torch.empty_like(queries)
    for single in step.singles:
        tokens = single.offsets
        _write_singles(single, layer, key[0, :, tokens], value[0, :, tokens])
        decoding = layer if step.sinks_in_decode else _without_sinks(layer)
        output[tokens] = _attend_singles(queries[tokens], single, decoding)
        for span in single.crossed:
            place = slice(span.offset, span.offset + 1)
            attend_neighbour(output[place], queries[place], layer, span.slip)
    for span in step.spans:
        if span.count > 1:
            part = slice(span.offset, span.offset + span.count)
            span.cache.write(layer.index, span.start, key[0, :, part], value[0, :, part])
            _attend_span(output[part], queries[part], span, layer)
            attend_halved(
                output[part], queries[part], layer, cache=span.cache, start=span.start, count=span.slip.halved
            )
    return output.to(query.dtype).unsqueeze(0), None


def _without_sinks(layer: Layer) -> Layer:
    return replace(layer, sinks=torch.full_like(layer.sinks, -torch.inf))


# -- one token each ---------------------------------------------------------------------------


def _write_singles(single: Single, layer: Layer, keys: Tensor, values: Tensor) -> None:
    """Store keys and values [kv heads, spans, head_dim]."""
    pen = single.pen
    pen.keys[layer.index][single.slots, :, :, single.key_rows] = keys.transpose(0, 1).to(pen.keys.dtype)
    pen.values[layer.index][single.slots, :, single.value_rows] = values.transpose(0, 1).to(pen.values.dtype)


def _attend_singles(queries: Tensor, single: Single, layer: Layer) -> Tensor:
    """Queries [spans, heads, head_dim] each on its own sequence; same shape back."""
    if layer.window is not None and single.reach > layer.window:
        return _attend_windows(queries, single, layer, layer.window)
    pen, tenants = single.pen, len(single.pen.tenants)
    keys = pen.keys[layer.index, :tenants, :, :, : single.reach]
    values = pen.values[layer.index, :tenants, :, : single.reach]
    if tenants == 1:
        return attend(queries, keys, values, layer.sinks)
    everyone = queries.new_zeros(tenants, *queries.shape[1:])
    everyone[single.slots] = queries
    return attend(everyone, keys, values, layer.sinks, hidden=single.beyond)[single.slots]


def _attend_windows(queries: Tensor, single: Single, layer: Layer, window: int) -> Tensor:
    """The same where each sees only its last ``window`` tokens, gathered into one batch."""
    found = []
    for span in single.spans:
        oldest = max(0, span.start + 1 - window)
        found.append(span.cache.read(layer.index, oldest, oldest + window))
    keys, values = (torch.stack(each) for each in zip(*found, strict=True))
    return attend(queries, keys, values, layer.sinks, hidden=single.beyond_window(window))


# -- a piece of a prompt ------------------------------------------------------------------------


def _attend_span(output: Tensor, queries: Tensor, span: Span, layer: Layer) -> None:
    """Fill ``output`` from scaled ``queries``, both [n, heads, head_dim], a block at a time."""
    heads, window = queries.shape[1], layer.window
    context = span.start + span.count
    seen = context if window is None else min(context, window + _QUERY_BLOCK)
    block = max(1, min(_QUERY_BLOCK, _MOST_SCORES // (heads * seen)))
    for first in range(0, span.count, block):
        part = slice(first, min(first + block, span.count))
        position, end = span.start + part.start, span.start + part.stop
        oldest = 0 if window is None else max(0, position - window + 1)
        keys, values = span.cache.read(layer.index, oldest, end)
        output[part] = _attend_block(queries[part], keys, values, layer)


def _attend_block(queries: Tensor, keys: Tensor, values: Tensor, layer: Layer) -> Tensor:
    """Scaled queries [n, heads, head_dim] of the newest n of all ``rows``; same shape back.

    ``keys`` [kv heads, head_dim, rows], ``values`` [kv heads, rows, head_dim].
    """
    count, heads, head_dim = queries.shape
    kv_heads, rows = keys.shape[0], keys.shape[2]
    before = rows - count
    logits = queries.new_empty(kv_heads, heads // kv_heads, count, rows + 1)
    flat = logits.view(kv_heads, -1, rows + 1)
    grouped = queries.view(count, kv_heads, -1, head_dim).permute(1, 2, 0, 3).reshape(kv_heads, -1, head_dim)
    torch.bmm(grouped, keys, out=flat[..., :rows])
    if layer.window is None:
        logits[..., before:rows] += band(count, 0, None, logits.dtype)
    else:
        logits[..., :rows] += band(count, before, layer.window, logits.dtype)
    logits[..., rows] = layer.sinks.view(kv_heads, -1, 1)
    weights = flat.softmax(dim=-1)[..., :rows]
    return torch.bmm(weights, values).view(heads, count, head_dim).transpose(0, 1)


@lru_cache(maxsize=16)
def band(count: int, before: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """What to add to the scores of ``count`` queries on ``before + count`` keys: 0 or -inf.

    Query i stands at key ``before + i``; it sees itself and, of those before it, at most
    ``window - 1``.
    """
    queries = torch.arange(count).unsqueeze(1) + before
    distance = queries - torch.arange(before + count)
    seen = distance >= 0
    if window is not None:
        seen &= distance < window
    return torch.zeros(count, before + count, dtype=dtype).masked_fill_(~seen, -torch.inf)


def register() -> None:
    """Make the attention known to transformers under :data:`ATTENTION`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, ragged_attention)
