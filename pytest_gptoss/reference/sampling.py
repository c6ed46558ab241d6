"""Choosing the next token from logits by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pytest_gptoss.reference.vocabulary import Vocabulary

__all__ = ["NOT_A_NUMBER", "greedy", "likely", "sample"]

NOT_A_NUMBER = 0
"""The token real servers emit when all logits are NaN: "!"."""

_GREEDY_BELOW = 1e-5


def greedy(logits: Tensor, vocabulary: Vocabulary) -> list[int]:
    """The most likely id of each position of ``logits`` [n, rows], the lowest one on exact ties."""
    allowed = logits.masked_fill(vocabulary.copies == 0, float("-inf"))
    best = allowed == allowed.amax(dim=-1, keepdim=True)
    chosen: list[int] = vocabulary.first_id.where(best, vocabulary.size).amin(dim=-1).tolist()
    return [NOT_A_NUMBER if token == vocabulary.size else token for token in chosen]


def likely(logits: Tensor, vocabulary: Vocabulary) -> Iterator[int]:
    """Every id, the most likely first; of ids that share a row of ``logits`` [rows] the lowest first."""
    for row in logits.argsort(descending=True, stable=True).tolist():
        if vocabulary.copies[row] == 1:
            yield int(vocabulary.first_id[row])
        elif vocabulary.copies[row] > 1:
            yield from (int(token) for token in vocabulary.ids_of(row))


def sample(
    logits: Tensor,
    vocabulary: Vocabulary,
    *,
    temperature: float,
    top_p: float,
    random: np.random.Generator,
) -> int:
    """One id drawn at ``temperature`` from the smallest set of ids whose probability reaches ``top_p``.

    ``logits`` [rows] of one position. A row with many ids enters that set id by id, lowest first.
    """
    if temperature < _GREEDY_BELOW:
        return greedy(logits.unsqueeze(0), vocabulary)[0]
    scaled = logits.double().numpy() / temperature
    copies = vocabulary.copies.numpy()
    if np.isnan(scaled).any() or not copies.any():
        return NOT_A_NUMBER
    single = np.where(copies > 0, np.exp(scaled - scaled[copies > 0].max()), 0.0)
    kept = copies if top_p >= 1 else _nucleus(single, copies, top_p)
    cumulative = np.cumsum(single * kept)
    row = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    row = min(row, int(np.flatnonzero(kept)[-1]))
    if copies[row] == 1:
        return int(vocabulary.first_id[row])
    return int(vocabulary.ids_of(row)[int(random.integers(kept[row]))])


def _nucleus(
    single: npt.NDArray[np.float64], copies: npt.NDArray[np.int64], top_p: float
) -> npt.NDArray[np.int64]:
    """How many ids of each row belong to the smallest most likely set that reaches ``top_p``."""
    order = np.argsort(-single, kind="stable")
    mass = (single * copies)[order]
    wanted = top_p * mass.sum()
    last = int(np.searchsorted(np.cumsum(mass), wanted))
    last = min(last, int(np.flatnonzero(mass)[-1]))
    row = order[last]
    kept = np.zeros_like(copies)
    kept[order[:last]] = copies[order[:last]]
    missing = (wanted - mass[:last].sum()) / single[row]
    kept[row] = np.clip(np.ceil(missing), 1, copies[row])
    return kept
