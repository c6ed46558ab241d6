"""Telling two servers from one that was named twice, by what answers and not by where.

A gateway may choose the backend by the model's name, and one server may be reached at two addresses. So
devices that may be one server score the same tokens, in turn: two devices compute log-probabilities that
differ in the last digits, one server repeats its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.subjects import ServerFacts

__all__ = ["answer_prints", "may_be_one"]

ROUNDS = 2
"""How often each device is asked: what it does not repeat tells nothing."""
LEAST_VALUES = 4
"""Log-probabilities that differ among themselves: zeros and sentinels are the same everywhere."""
_SEQUENCE = TokenSequence(
    "who",
    (976, 4853, 19705, 68347, 65613, 1072, 290, 29082, 6446, 13, 623, 9910, 3490, 382, 220, 43985, 17, 13),
)
""""The quick brown fox jumps over the lazy dog. The secret code is 7842." in o200k."""


def may_be_one(facts: Mapping[str, ServerFacts]) -> frozenset[str]:
    """Names of the devices, among those that answer, that may be one server with another of them.

    They share an address under two names of a model, or two addresses lead to one start.
    """
    found: set[str] = set()
    for ours, theirs in combinations(facts, 2):
        left, right = facts[ours], facts[theirs]
        one_place = bool(set(left.addresses) & set(right.addresses))
        one_start = left.started_s is not None and left.started_s == right.started_s
        if (one_place and left.model != right.model) or (one_start and not one_place):
            found |= {ours, theirs}
    return frozenset(found)


async def answer_prints(clients: Sequence[VllmClient]) -> list[str | None]:
    """A hash of each server's log-probabilities of the same tokens; None where it does not repeat them.

    They are asked one after the other, round by round: one server asked twice at once batches the
    requests, and rounds otherwise. None too where a server offers no ``prompt_logprobs``.
    """
    rounds = [await _round(clients) for _ in range(ROUNDS)]
    return [seen[0] if len(set(seen)) == 1 else None for seen in zip(*rounds, strict=True)]


async def _round(clients: Sequence[VllmClient]) -> list[str | None]:
    return [await _print(client) for client in clients]


async def _print(client: VllmClient) -> str | None:
    try:
        logprobs = (await client.score(_SEQUENCE, top=1)).logprobs
    except RequestError:
        return None
    if len(np.unique(logprobs)) < LEAST_VALUES:
        return None
    return hashlib.sha256(np.ascontiguousarray(logprobs, dtype="<f8").tobytes()).hexdigest()
