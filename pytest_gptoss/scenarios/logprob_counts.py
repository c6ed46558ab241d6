"""How many log-probabilities a hidden state takes, and why those of an answer do not do."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.lm_head import LmHead
from pytest_gptoss.model.message import say

__all__ = ["fewest_logprobs", "logprobs_to_ask", "why_too_few_logprobs", "why_unknown_ids"]

_LEAST_RATIO = 1.2
"""Log-probabilities for each element of a state: with fewer the fit leaves too little to check it by."""
_RATIO = 1.4
_LEAST_ASKED = 4096


def logprobs_to_ask(hidden: int) -> int:
    """How many log-probabilities a position needs: 4,096, or 1.4 times the hidden size where that is more."""
    return max(_LEAST_ASKED, math.ceil(_RATIO * hidden))


def fewest_logprobs(hidden: int) -> int:
    """How many log-probabilities a position needs at least."""
    return math.ceil(_LEAST_RATIO * hidden)


def why_too_few_logprobs(given: int, hidden: int) -> str | None:
    """Why so many log-probabilities a position do not do."""
    if given >= fewest_logprobs(hidden):
        return None
    return say(
        "the server gives {given} log-probabilities a position, a hidden state of size {hidden} needs "
        "{needed}: serve with --max-logprobs {asked}",
        given=given,
        hidden=hidden,
        needed=fewest_logprobs(hidden),
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
