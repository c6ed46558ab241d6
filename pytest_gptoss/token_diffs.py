"""Where two answers part, token by token, as reports draw it."""

from __future__ import annotations

import math

from pytest_gptoss.records import Generation, Json
from pytest_gptoss.token_text import token_text

__all__ = ["token_diff"]

BEFORE = 16
"""Common tokens shown before the fork."""
AFTER = 32
"""Tokens of each answer shown from the fork on."""
LISTED = 5
"""Likeliest tokens shown of either device at the fork."""


def token_diff(npu: Generation, gpu: Generation, at: int) -> dict[str, Json]:
    """The answers around position ``at``, where they first differ.

    ``before`` (texts of the last common tokens, ``before_left_out`` more stand before them); ``npu`` and
    ``gpu``: ``tokens`` (id, text, log-probability in nats or None), ``left_out`` (how many more follow)
    and ``listed`` (the likeliest tokens at the fork). Both devices must tell token ids.
    """
    common = (gpu.token_ids or ())[:at]
    return {
        "before": [token_text(token) for token in common[-BEFORE:]],
        "before_left_out": max(0, len(common) - BEFORE),
        "npu": _side(npu, at),
        "gpu": _side(gpu, at),
    }


def _side(answer: Generation, at: int) -> dict[str, Json]:
    ids = answer.token_ids or ()
    logprobs = () if answer.logprobs is None else answer.logprobs.tolist()
    tokens = [
        _token(token, logprobs[index] if index < len(logprobs) else None)
        for index, token in enumerate(ids[at : at + AFTER], start=at)
    ]
    return {"tokens": tokens, "left_out": max(0, len(ids) - at - AFTER), "listed": _listed(answer, at)}


def _listed(answer: Generation, at: int) -> list[Json]:
    if answer.top is None or at >= len(answer.top.ids):
        return []
    listed = zip(answer.top.ids[at].tolist(), answer.top.logprobs[at].tolist(), strict=True)
    return [_token(token, logprob) for token, logprob in listed if token >= 0][:LISTED]


def _token(token: int, logprob: float | None) -> dict[str, Json]:
    known = logprob is not None and math.isfinite(logprob)
    return {"id": token, "text": token_text(token), "logprob": logprob if known else None}
