"""Where two greedy answers part, and whether rounding alone can have parted them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from pytest_gptoss.judge.evidence import first_difference
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, TopLogprobs
from pytest_gptoss.model.sentinels import filler, no_logprobs

__all__ = ["KINDS", "NEAR_TIE", "ForkKind", "compare", "fork_kinds"]

NEAR_TIE = 0.5
"""Nats. Where neither device prefers its own token by more, rounding can turn the choice."""

ForkKind: TypeAlias = Literal["near tie", "real", "length", "unknown"]
"""Of a fork: margin at most NEAR_TIE; more; one answer begins the other; without log-probabilities."""


KINDS: Mapping[str, str] = {
    each: each for each in (say("near tie"), say("real"), say("length"), say("unknown"))
}
"""The kinds as messages call them."""


def fork_kinds(compared: Iterable[Json]) -> dict[str, int]:
    """How many forks there are of each kind, from the results of ``compare``."""
    return dict(Counter(each["fork"]["kind"] for each in compared if each["fork"]))


def compare(npu: Generation, gpu: Generation) -> Json:
    """Two answers to one prompt: whether they match, their lengths, the matched prefix and the fork, if any.

    A fork holds ``index``, ``npu_token``, ``gpu_token`` (None where that answer has ended), ``logprobs`` (of
    both tokens on both sides, from the generating steps; None where not listed), ``margin`` (nats: the larger
    of the two devices' preferences for its own token) and ``kind``.
    """
    ours, theirs = npu.token_ids or (), gpu.token_ids or ()
    return {
        "prompt_id": npu.prompt_id,
        "match": ours == theirs,
        "npu_tokens": len(ours),
        "gpu_tokens": len(theirs),
        "prefix": first_difference(ours, theirs),
        "fork": None if ours == theirs else _fork(npu, gpu),
    }


def _fork(npu: Generation, gpu: Generation) -> Json:
    ours, theirs = npu.token_ids or (), gpu.token_ids or ()
    at = first_difference(ours, theirs)
    npu_token = ours[at] if at < len(ours) else None
    gpu_token = theirs[at] if at < len(theirs) else None
    sides = {"npu": _step(npu, at), "gpu": _step(gpu, at)}
    margin, kind = None, "length"
    if npu_token is not None and gpu_token is not None:
        margin, kind = _margin(
            _preference(sides["npu"], npu_token, gpu_token), _preference(sides["gpu"], gpu_token, npu_token)
        )
    return {
        "index": at,
        "npu_token": npu_token,
        "gpu_token": gpu_token,
        "logprobs": {
            side: {"npu_token": step.get(npu_token), "gpu_token": step.get(gpu_token)}
            for side, step in sides.items()
        },
        "margin": margin,
        "kind": kind,
    }


def _step(answer: Generation, at: int) -> dict[int | None, float]:
    """Log-probabilities listed at one generating step, the chosen token's included; empty if not measured."""
    step: dict[int | None, float] = {} if answer.top is None else _listed(answer.top, at)
    if answer.logprobs is not None and answer.token_ids is not None and at < len(answer.logprobs):
        if no_logprobs(answer.logprobs[at]) or filler(answer.logprobs, answer.top) is not None:
            return {}
        step[answer.token_ids[at]] = float(answer.logprobs[at])
    return {token: logprob for token, logprob in step.items() if math.isfinite(logprob)}


def _listed(top: TopLogprobs, at: int) -> dict[int | None, float]:
    if at >= len(top.ids):
        return {}
    listed = zip(top.ids[at].tolist(), top.logprobs[at].tolist(), strict=True)
    return {token: logprob for token, logprob in listed if token >= 0}


def _preference(step: dict[int | None, float], own: int, other: int) -> tuple[float, bool] | None:
    """By how many nats a device prefers its own token, and whether that is exact.

    A token outside the list is less likely than the last listed: the preference is then at least
    the figure, not exactly it. None when the device tells too little for either.
    """
    if own not in step or len(step) < 2:
        return None
    if other in step:
        return step[own] - step[other], True
    return step[own] - min(step.values()), False


def _margin(*preferences: tuple[float, bool] | None) -> tuple[float | None, ForkKind]:
    known = [preference for preference in preferences if preference is not None]
    if not known:
        return None, "unknown"
    margin = max(value for value, _ in known)
    if margin > NEAR_TIE:
        return margin, "real"
    sure = len(known) == len(preferences) and all(exact for _, exact in known)
    return margin, "near tie" if sure else "unknown"
