"""Made log-probabilities: a random output layer, a state after a norm, logits rounded as servers round."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Position", "answer", "bfloat16", "cosine", "made"]


def bfloat16(values):
    """Rounded to the nearest bfloat16, ties to even; float32."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


@dataclass(frozen=True)
class Position:
    """``head`` [vocabulary, hidden], ``norm`` and ``state`` [hidden], all in bfloat16."""

    head: np.ndarray
    norm: np.ndarray
    state: np.ndarray


def made(seed, vocabulary, hidden, *, spread=2.5):
    """A position whose logits have the standard deviation ``spread``; rows have a part in common."""
    rng = np.random.default_rng(seed)
    norm = bfloat16(rng.uniform(0.5, 2, hidden))
    direction = rng.standard_normal(hidden)
    state = bfloat16(direction / np.sqrt(np.mean(direction**2)) * norm)
    rows = rng.standard_normal((vocabulary, hidden), dtype=np.float32)
    rows += rng.standard_normal(hidden, dtype=np.float32)
    return Position(bfloat16(rows * np.float32(spread / np.linalg.norm(state))), norm, state)


def answer(position, count, *, rounded=bfloat16, temperature=1.0, head=None, bias=None):
    """What a server with this output layer answers: the ``count`` likeliest ids, their log-probabilities."""
    logits = rounded((position.head if head is None else head) @ position.state).astype(np.float64)
    logits /= temperature
    for place, added in (bias or {}).items():
        logits[np.argsort(-logits)[place]] += added
    logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    ids = np.argsort(-logprobs, kind="stable")[:count]
    return ids, logprobs[ids].astype(np.float32)


def cosine(left, right):
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
