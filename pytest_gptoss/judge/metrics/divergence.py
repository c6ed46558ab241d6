"""Kullback-Leibler divergence of two distributions that are known by their top lists only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.evidence import TOP
from pytest_gptoss.model.results import TopLogprobs

__all__ = ["divergence"]

FloatArray = npt.NDArray[np.float64]

_LEAST = 1e-7
"""Probability below which what a top list leaves over is float32 rounding."""
_NEVER = 1e-300
"""Stands for a probability that float64 cannot hold."""
_BISECTIONS = 50


def divergence(reference: TopLogprobs, tested: TopLogprobs) -> FloatArray:
    """KL(reference || tested) in nats at each of T positions, from top lists; shape [T], never negative.

    Buckets: each of the reference's first TOP tokens, and one for all others, of probability 1 minus
    the rest. Where the tested list lacks a token, that list still bounds it: it is no likelier than
    the last one listed, and all unlisted tokens together have what the list leaves over. Of
    all distributions within these bounds the one nearest to the reference is taken. The figure is thus
    the least divergence that both lists allow, and exact where the tested list lacks nothing; yet a
    likely token that the tested device does not even list costs many nats.

    S. Kullback and R. A. Leibler, "On information and sufficiency", Ann. Math. Stat. 22 (1951) 79-86.
    """
    ids, p_listed = reference.ids[:, :TOP], _probabilities(reference)[:, :TOP]
    q_listed = _probabilities(tested)
    same = (ids[:, :, np.newaxis] == tested.ids[:, np.newaxis, :]) & (ids >= 0)[:, :, np.newaxis]
    found = same.any(axis=2)
    q_found = np.einsum("tij,tj->ti", same, q_listed)
    p_rest = np.maximum(1 - p_listed.sum(axis=1), _LEAST)
    # Behind the first TOP a list may hold the scored token itself, however unlikely: no bound.
    last_listed = np.where(tested.ids >= 0, q_listed, np.inf)[:, :TOP].min(axis=1)
    q_missing, q_rest = _nearest(
        np.where(found, 0.0, p_listed),
        p_rest,
        most=last_listed,
        listed_elsewhere=np.where(same.any(axis=1), 0.0, q_listed).sum(axis=1),
        left_over=np.maximum(1 - q_listed.sum(axis=1), 0.0),
    )
    p = np.column_stack([p_listed, p_rest])
    q = np.column_stack([np.where(found, q_found, q_missing), q_rest])
    p /= p.sum(axis=1, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
    terms = p * (np.log(np.maximum(p, _NEVER)) - np.log(np.maximum(q, _NEVER)))
    result: FloatArray = np.maximum(terms.sum(axis=1), 0.0)
    return result


def _nearest(
    p_missing: FloatArray,
    p_rest: FloatArray,
    *,
    most: FloatArray,
    listed_elsewhere: FloatArray,
    left_over: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Share ``left_over`` [T] among missing tokens [T, k] and the rest [T], as near to p as bounds allow.

    The nearest distribution is a multiple of p cut at the bounds: at ``most`` for a token, at not less
    than ``listed_elsewhere`` for the rest. The multiple is found by bisection of its logarithm.
    """

    def shared(multiple: FloatArray) -> tuple[FloatArray, FloatArray]:
        tokens = np.minimum(multiple[:, np.newaxis] * p_missing, most[:, np.newaxis])
        return tokens, np.maximum(multiple * p_rest, listed_elsewhere)

    low, high = np.full_like(p_rest, np.log(_LEAST)), -np.log(p_rest) + 1
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        tokens, rest = shared(np.exp(middle))
        too_much = tokens.sum(axis=1) + rest - listed_elsewhere > left_over
        low, high = np.where(too_much, low, middle), np.where(too_much, middle, high)
    tokens, rest = shared(np.exp(high))
    floor = np.where(p_missing > 0, np.minimum(_LEAST, most[:, np.newaxis]), 0.0)
    return np.maximum(tokens, floor), np.maximum(rest, _LEAST)


def _probabilities(top: TopLogprobs) -> FloatArray:
    listed: FloatArray = np.where(top.ids >= 0, np.exp(top.logprobs.astype(np.float64)), 0.0)
    return listed
