"""Where two answers part, token by token, as reports draw it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import Generation
from pytest_gptoss.model.token_text import token_text

__all__ = ["token_diff"]

Spell: TypeAlias = Callable[[int], str]

BEFORE = 16
"""Common tokens shown before the fork."""
AFTER = 32
"""Tokens of each answer shown from the fork on."""
LISTED = 5
"""Likeliest tokens shown of either device at the fork."""


def token_diff(
    npu: Generation, gpu: Generation, at: int, *, foreign: frozenset[str] = frozenset()
) -> dict[str, Json]:
    """The answers around position ``at``, where they first differ.

    ``before`` (texts of the last common tokens, ``before_left_out`` more stand before them); ``npu`` and
    ``gpu``: ``tokens`` (id, text, log-probability in nats or None), ``left_out`` (how many more follow)
    and ``listed`` (the likeliest tokens at the fork). Both devices must tell token ids. Texts are the
    server's own words where it tells them; ``foreign``: the sides known to have another vocabulary than ours.
    """
    common = (gpu.token_ids or ())[:at]
    spell = {"npu": _spelling(npu, foreign="npu" in foreign), "gpu": _spelling(gpu, foreign="gpu" in foreign)}
    return {
        "before": [spell["gpu"](token) for token in common[-BEFORE:]],
        "before_left_out": max(0, len(common) - BEFORE),
        "npu": _side(npu, at, spell["npu"]),
        "gpu": _side(gpu, at, spell["gpu"]),
    }


def _spelling(answer: Generation, *, foreign: bool) -> Spell:
    """How the server writes a token: in its own words, else from GPT-OSS's vocabulary.

    Where its own words show, or it is known, that its vocabulary is another, an id that it does not
    word stands as it is.
    """
    words = {
        token: word for token, word in zip(answer.token_ids or (), answer.words or (), strict=False) if word
    }
    ours = not foreign and all(_agree(token_text(token), word) for token, word in words.items())

    def spell(token: int) -> str:
        return words.get(token) or (token_text(token) if ours else f"<|token_{token}|>")

    return spell


def _agree(ours: str, theirs: str) -> bool:
    """Whether two texts of a token are one. What is no whole character is written in many ways."""
    return ours == theirs or "\\x" in ours or ours.startswith("<|reserved_")


def _side(answer: Generation, at: int, spell: Spell) -> dict[str, Json]:
    ids = answer.token_ids or ()
    logprobs = () if answer.logprobs is None else answer.logprobs.tolist()
    tokens = [
        _token(token, logprobs[index] if index < len(logprobs) else None, spell)
        for index, token in enumerate(ids[at : at + AFTER], start=at)
    ]
    return {"tokens": tokens, "left_out": max(0, len(ids) - at - AFTER), "listed": _listed(answer, at, spell)}


def _listed(answer: Generation, at: int, spell: Spell) -> list[Json]:
    if answer.top is None or at >= len(answer.top.ids):
        return []
    listed = zip(answer.top.ids[at].tolist(), answer.top.logprobs[at].tolist(), strict=True)
    return [_token(token, logprob, spell) for token, logprob in listed if token >= 0][:LISTED]


def _token(token: int, logprob: float | None, spell: Spell) -> dict[str, Json]:
    known = logprob is not None and math.isfinite(logprob)
    return {"id": token, "text": spell(token), "logprob": logprob if known else None}
