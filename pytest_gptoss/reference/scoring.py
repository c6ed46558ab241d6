"""Log-probabilities of given tokens, from logits by row, over the whole vocabulary."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pytest_gptoss.reference.generation import TokenLogprobs
from pytest_gptoss.reference.vocabulary import Vocabulary

__all__ = ["score"]


def score(logits: Tensor, actual: Tensor, top: int, vocabulary: Vocabulary) -> list[TokenLogprobs]:
    """One record per position for the ``actual`` ids int64 [n] under ``logits`` float32 [n, rows].

    Nats at temperature 1. As in vLLM, the rank counts every token at least as likely, so of two equally
    likely tokens both have the lower rank. Alternatives come most likely first, lower id first on ties.
    """
    logprobs = logits - torch.logsumexp(logits + vocabulary.log_copies, dim=-1, keepdim=True)
    own = logprobs.gather(1, vocabulary.rows(actual).unsqueeze(1))
    ranks = ((logprobs >= own) * vocabulary.copies).sum(dim=-1)
    alternatives = _most_likely(logprobs, top, vocabulary)
    return [
        TokenLogprobs(logprob=logprob, rank=rank, top=pairs)
        for logprob, rank, pairs in zip(own.flatten().tolist(), ranks.tolist(), alternatives, strict=True)
    ]


def _most_likely(logprobs: Tensor, top: int, vocabulary: Vocabulary) -> list[tuple[tuple[int, float], ...]]:
    """The ``top`` ids of each position with their log-probabilities."""
    if not top:
        return [()] * len(logprobs)
    values, rows = logprobs.topk(min(top, logprobs.shape[1]), dim=-1)
    ids = vocabulary.first_id[rows].numpy()
    order = np.lexsort((ids, -values.numpy()), axis=-1)
    pairs = zip(
        np.take_along_axis(ids, order, axis=-1).tolist(),
        np.take_along_axis(values.numpy(), order, axis=-1).tolist(),
        strict=True,
    )
    shared = (vocabulary.copies[rows] > 1).any(dim=-1).tolist()
    return [
        _spread(ids, values, top, vocabulary) if spread else tuple(zip(ids, values, strict=True))
        for (ids, values), spread in zip(pairs, shared, strict=True)
    ]


def _spread(
    ids: list[int], values: list[float], top: int, vocabulary: Vocabulary
) -> tuple[tuple[int, float], ...]:
    """Let a shared row appear once for each of its ids."""
    found = [
        (one, value)
        for first, value in zip(ids, values, strict=True)
        for one in vocabulary.ids_of(int(vocabulary.row_of[first]))[:top].tolist()
    ]
    return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0]))[:top])
