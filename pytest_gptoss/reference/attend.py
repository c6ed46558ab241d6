"""The formula of one query a sequence, which all decoding shares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Layer", "attend"]


@dataclass(frozen=True, slots=True)
class Layer:
    """What differs from layer to layer: its place in the cache, its window, its sinks [heads]."""

    index: int
    window: int | None
    sinks: Tensor


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, sinks: Tensor, *, hidden: Tensor | None = None
) -> Tensor:
    """Scaled queries [n, heads, head_dim] on keys [n, kv heads, head_dim, rows] and values.

    ``hidden`` bool [n, 1, rows]: which rows a query must not see.
    """
    count, heads, head_dim = queries.shape
    kv_heads, rows = keys.shape[1], keys.shape[3]
    logits = queries.new_empty(count, heads, rows + 1)
    scores = logits[..., :rows]
    scores.copy_(torch.matmul(queries.view(count, kv_heads, -1, head_dim), keys).view(count, heads, rows))
    if hidden is not None:
        scores.masked_fill_(hidden, -torch.inf)
    logits[..., rows] = sinks
    weights = logits.softmax(dim=-1)[..., :rows].view(count, kv_heads, -1, rows)
    return torch.matmul(weights, values).view(count, heads, head_dim)
