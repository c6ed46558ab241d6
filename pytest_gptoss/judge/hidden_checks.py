"""Whether a hidden state recovered from log-probabilities can be trusted, each doubt in its own words."""

from __future__ import annotations

from pytest_gptoss.judge.figures import number
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import StateFit

__all__ = ["why_unsound"]

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


def why_unsound(fit: StateFit) -> str | None:
    """The first doubt about a recovered state: condition, a single deviation, residual, scale."""
    return (
        _why_ill_conditioned(fit)
        or _why_one_is_off(fit)
        or _why_other_head(fit)
        or _why_scale_is_unknown(fit)
        or _why_scaled(fit)
    )


def _why_ill_conditioned(fit: StateFit) -> str | None:
    if fit.condition <= _LARGEST_CONDITION:
        return None
    return say(
        "the {n} rows of lm_head.weight depend on each other so much (condition {condition:.2g}, allowed "
        "{most:.0g}) that log-probabilities do not tell the hidden state: take hidden states from a "
        "pooling server",
        n=fit.n,
        condition=fit.condition,
        most=_LARGEST_CONDITION,
    )


def _why_other_head(fit: StateFit) -> str | None:
    """The residual against ``explained`` (see ``logit_steps``), with room for chance."""
    allowed = _allowed_residual(fit)
    if fit.residual <= allowed:
        return None
    return say(
        "the log-probabilities are {residual:.2g} nat off what lm_head.weight makes of any hidden state, "
        "rounding of logits to bfloat16 explains {allowed:.2g}: the server has another output layer, has it "
        "quantised, or adds a logit bias; name the checkpoint that is served with --gptoss-lm-head",
        residual=fit.residual,
        allowed=allowed,
    )


def _allowed_residual(fit: StateFit) -> float:
    return _ALLOWED_RESIDUAL * fit.explained + _FLOAT32_ERROR


def _why_one_is_off(fit: StateFit) -> str | None:
    """A deviation is half a step of rounding at most, and what the fit makes of the others' rounding.

    Where the others do not fit either, nothing is wrong with one.
    """
    allowed = fit.largest_step / 2 + _SIGMAS * fit.explained + _FLOAT32_ERROR
    if fit.worst <= allowed or fit.residual_of_others > _allowed_residual(fit):
        return None
    return say(
        "one log-probability of {n} is {worst:.2g} nat off what lm_head.weight makes of the others, "
        "rounding of logits explains {allowed:.2g}: does the server add a logit bias or a penalty?",
        n=fit.n,
        worst=fit.worst,
        allowed=allowed,
    )


def _why_scale_is_unknown(fit: StateFit) -> str | None:
    if fit.scale_error <= _LARGEST_SCALE_ERROR:
        return None
    return say(
        "mean((state / norm.weight)^2) is known to {error:.2g} only, so a temperature could not be seen: "
        "take hidden states from a pooling server",
        error=fit.scale_error,
    )


def _why_scaled(fit: StateFit) -> str | None:
    """RMSNorm's output, divided by its weight, has mean square 1. A temperature fits as well as none."""
    allowed = _ALLOWED_SCALE + 2 * fit.scale_error
    if abs(fit.scale - 1) <= allowed:
        return None
    return say(
        "mean((state / norm.weight)^2) is {scale}, after the final norm it is 1 within {allowed:.2g}: the "
        "log-probabilities are scaled by a temperature or processed, or model.norm.weight is another one; "
        "serve with --logprobs-mode raw_logprobs and name the checkpoint that is served with "
        "--gptoss-lm-head",
        scale=number(fit.scale),
        allowed=allowed,
    )
