"""Whether hidden states recovered from log-probabilities can be trusted, each doubt in its own words.

A check returns a reason, or None where all is well.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.figures import number
from pytest_gptoss.judge.hidden_recovery import Recovery
from pytest_gptoss.model.lm_head import LmHead
from pytest_gptoss.model.message import say

__all__ = [
    "logprobs_to_ask",
    "why_near_the_limit",
    "why_too_few_logprobs",
    "why_unknown_ids",
    "why_unsound",
]

_LEAST_RATIO = 1.2
"""Log-probabilities for each element of a state: with fewer the fit leaves too little to check it by."""
_RATIO = 1.4
_LEAST_ASKED = 4096
_ALLOWED_RESIDUAL = 1.5
"""Times what rounding explains. Chance moves the residual by 1 / sqrt(2 (n - hidden)), 2% for 4,096 at hidden
2,880, and large logits, which are rounded more, by a few percent; a head in 8 bits doubles it at least."""
_SIGMAS = 6.0
"""Of the farthest log-probability: one in 5e8 of a normal distribution lies beyond."""
_FLOAT32_ERROR = 2e-5
"""Nats that the softmax in float32 and the digits of JSON may be off."""
_ALLOWED_SCALE = 0.02
_LARGEST_SCALE_ERROR = 0.1
_LARGEST_CONDITION = 1e6
"""Squared by the normal equations it leaves a relative error of 1e-4 before refinement."""


def logprobs_to_ask(hidden: int) -> int:
    """How many log-probabilities a position needs: 4,096, or 1.4 times the hidden size where that is more."""
    return max(_LEAST_ASKED, math.ceil(_RATIO * hidden))


def why_too_few_logprobs(given: int, hidden: int) -> str | None:
    """Why so many log-probabilities a position do not do."""
    if given >= _LEAST_RATIO * hidden:
        return None
    return say(
        "the server gives {given} log-probabilities a position, a hidden state of size {hidden} needs "
        "{needed}: serve with --max-logprobs {asked}",
        given=given,
        hidden=hidden,
        needed=math.ceil(_LEAST_RATIO * hidden),
        asked=logprobs_to_ask(hidden),
    )


def why_unknown_ids(ids: npt.NDArray[np.integer], head: LmHead) -> str | None:
    """Why the tokens of an answer cannot be those of this output layer."""
    if not ids.size or 0 <= ids.min() <= ids.max() < head.vocabulary:
        return None
    return say(
        "the server gives log-probabilities of token {token}, lm_head.weight has {vocabulary} rows: name the "
        "checkpoint that is served with --gptoss-lm-head",
        token=int(ids.max() if ids.max() >= head.vocabulary else ids.min()),
        vocabulary=head.vocabulary,
    )


def why_unsound(recovery: Recovery) -> str | None:
    """The first doubt about a recovered state: condition, a single deviation, residual, scale."""
    return (
        _why_ill_conditioned(recovery)
        or _why_one_is_off(recovery)
        or _why_other_head(recovery)
        or _why_scale_is_unknown(recovery)
        or _why_scaled(recovery)
    )


def why_near_the_limit(value: float, limit: float, uncertainty: float) -> str | None:
    """Why a cosine cannot be judged against a limit."""
    if abs(value - limit) >= uncertainty:
        return None
    return say(
        "the cosine {value} lies within {uncertainty:.2g} of the limit {limit}, and states recovered from "
        "log-probabilities are no more exact: take hidden states from pooling servers",
        value=number(value, apart_from=limit),
        uncertainty=uncertainty,
        limit=number(limit),
    )


def _why_ill_conditioned(recovery: Recovery) -> str | None:
    if recovery.condition <= _LARGEST_CONDITION:
        return None
    return say(
        "the {n} rows of lm_head.weight depend on each other so much (condition {condition:.2g}, allowed "
        "{most:.0g}) that log-probabilities do not tell the hidden state: take hidden states from a "
        "pooling server",
        n=recovery.n,
        condition=recovery.condition,
        most=_LARGEST_CONDITION,
    )


def _why_other_head(recovery: Recovery) -> str | None:
    """The residual against ``explained`` (see ``logit_steps``), with room for chance."""
    allowed = _allowed_residual(recovery)
    if recovery.residual <= allowed:
        return None
    return say(
        "the log-probabilities are {residual:.2g} nat off what lm_head.weight makes of any hidden state, "
        "rounding of logits to bfloat16 explains {allowed:.2g}: the server has another output layer, has it "
        "quantised, or adds a logit bias; name the checkpoint that is served with --gptoss-lm-head",
        residual=recovery.residual,
        allowed=allowed,
    )


def _allowed_residual(recovery: Recovery) -> float:
    return _ALLOWED_RESIDUAL * recovery.explained + _FLOAT32_ERROR


def _why_one_is_off(recovery: Recovery) -> str | None:
    """A deviation is half a step of rounding at most, and what the fit makes of the others' rounding.

    Where the others do not fit either, nothing is wrong with one.
    """
    allowed = recovery.largest_step / 2 + _SIGMAS * recovery.explained + _FLOAT32_ERROR
    if recovery.worst <= allowed or recovery.residual_of_others > _allowed_residual(recovery):
        return None
    return say(
        "one log-probability of {n} is {worst:.2g} nat off what lm_head.weight makes of the others, "
        "rounding of logits explains {allowed:.2g}: does the server add a logit bias or a penalty?",
        n=recovery.n,
        worst=recovery.worst,
        allowed=allowed,
    )


def _why_scale_is_unknown(recovery: Recovery) -> str | None:
    if recovery.scale_error <= _LARGEST_SCALE_ERROR:
        return None
    return say(
        "mean((state / norm.weight)^2) is known to {error:.2g} only, so a temperature could not be seen: "
        "take hidden states from a pooling server",
        error=recovery.scale_error,
    )


def _why_scaled(recovery: Recovery) -> str | None:
    """RMSNorm's output, divided by its weight, has mean square 1. A temperature fits as well as none."""
    allowed = _ALLOWED_SCALE + 2 * recovery.scale_error
    if abs(recovery.scale - 1) <= allowed:
        return None
    return say(
        "mean((state / norm.weight)^2) is {scale}, after the final norm it is 1 within {allowed:.2g}: the "
        "log-probabilities are scaled by a temperature or processed, or model.norm.weight is another one; "
        "serve with --logprobs-mode raw_logprobs and name the checkpoint that is served with "
        "--gptoss-lm-head",
        scale=number(recovery.scale),
        allowed=allowed,
    )
