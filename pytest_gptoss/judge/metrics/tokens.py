"""Greedy output, token for token: how many answers are equal, and how each other one forks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.comparison import SAME_INPUTS, both_answers
from pytest_gptoss.judge.evidence import answer_ids, first_difference, pair, refuse_sameness
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import listed, say
from pytest_gptoss.model.results import Generation, Measurement, TopLogprobs
from pytest_gptoss.model.sentinels import filler, no_logprobs
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["NEAR_TIE", "ForkKind", "token_match_rate"]

NEAR_TIE = 0.5
"""Nats. Where neither device prefers its own token by more, rounding can turn the choice."""

ForkKind: TypeAlias = Literal["near tie", "real", "length", "unknown"]
_KINDS: Mapping[str, str] = {
    each: each for each in (say("near tie"), say("real"), say("length"), say("unknown"))
}
"""The kinds as messages call them."""


@against_first
@metric(
    "token_match_rate",
    needs=both_answers,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=("rate",),
    info=("noise_npu", "noise_gpu"),
)
def token_match_rate(*, npu: Measurement[Generation], gpu: Measurement[Generation]) -> Estimate:
    """Share of prompts whose output token ids are equal, ids and length; Wilson interval.

    Details: ``position_rate`` (equal ids over the longer answer's length, all prompts together),
    ``matched_prefix`` (min, median, mean tokens before the fork), ``kinds`` of forks, and
    ``prompts``: per prompt whether it matches, its lengths, its matched prefix and its fork.

    A fork holds ``index``, ``npu_token``, ``gpu_token`` (None where that answer has ended),
    ``logprobs`` (of both tokens on both sides, from the generating steps; None where not listed),
    ``margin`` (nats: the larger of the two devices' preferences for its own token) and ``kind``:
    "near tie" (margin at most NEAR_TIE), "real", "length" (one answer begins the other) or
    "unknown" (a server tells no log-probabilities).
    """
    pairs = pair(npu, gpu, "prompts")
    answers = [(answer_ids(ours, npu), answer_ids(theirs, gpu)) for ours, theirs in pairs]
    refuse_sameness(
        {theirs.prompt_id: ids for (_, theirs), (_, ids) in zip(pairs, answers, strict=True)}, gpu.device
    )
    prompts = [_compare(ours, theirs) for ours, theirs in pairs]
    matches = sum(prompt["match"] for prompt in prompts)
    longest = sum(max(len(left), len(right)) for left, right in answers)
    equal = sum(_equal_positions(left, right) for left, right in answers)
    prefixes = [prompt["prefix"] for prompt in prompts]
    details: dict[str, Json] = {
        "position_rate": equal / longest,
        "matched_prefix": {
            "min": min(prefixes),
            "median": float(np.median(prefixes)),
            "mean": float(np.mean(prefixes)),
        },
        "kinds": dict(Counter(prompt["fork"]["kind"] for prompt in prompts if prompt["fork"])),
        "prompts": prompts,
    }
    if matches < len(pairs):
        details["finding"] = _finding(prompts, details["kinds"])
    return Estimate(matches / len(pairs), "share", len(pairs), wilson(matches, len(pairs)), details)


def _compare(npu: Generation, gpu: Generation) -> Json:
    ours, theirs = npu.token_ids or (), gpu.token_ids or ()
    return {
        "prompt_id": npu.prompt_id,
        "match": ours == theirs,
        "npu_tokens": len(ours),
        "gpu_tokens": len(theirs),
        "prefix": first_difference(ours, theirs),
        "fork": None if ours == theirs else _fork(npu, gpu),
    }


def _equal_positions(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return sum(left[index] == right[index] for index in range(min(len(left), len(right))))


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


def _finding(prompts: list[Json], kinds: dict[str, int]) -> str:
    forked = [prompt for prompt in prompts if prompt["fork"]]
    worst = next((prompt for prompt in forked if prompt["fork"]["kind"] == "real"), forked[0])
    fork = worst["fork"]
    counts = listed(
        say("{count} {kind}", count=count, kind=_KINDS[kind]) for kind, count in sorted(kinds.items())
    )
    margin = "" if fork["margin"] is None else say(", margin {margin:.2f} nat", margin=fork["margin"])
    return say(
        "{forked} of {prompts} answers fork ({counts}); {prompt_id} at token {index}: {kind}{margin}",
        forked=len(forked),
        prompts=len(prompts),
        counts=counts,
        prompt_id=worst["prompt_id"],
        index=fork["index"],
        kind=_KINDS[fork["kind"]],
        margin=margin,
    )
