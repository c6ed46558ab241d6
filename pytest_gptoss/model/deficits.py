"""How far the tokens of an answer lie below the likeliest ones, by the device's own scores when asked alone.

The deficit at a position is the likeliest token's log-probability less that of the token that was generated:
0 where they are the same. What comes behind a position where the likeliest token ends the answer is not
compared: the server was told to go on (``min_tokens``, ``ignore_eos``), and what it says then is arbitrary.
"""

from __future__ import annotations

import numpy as np

from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.gptoss import STOP_IDS
from pytest_gptoss.model.results import ScoredSequence, StressAnswer

__all__ = ["LEAST_COMPARED", "TOLERATED", "beyond_tolerated", "compared", "deficits", "excess"]

LEAST_COMPARED = 8
"""An answer with fewer compared tokens says too little."""
TOLERATED = 0.5
"""Nats by which a token may lie below the likeliest for nothing: two roundings of a near tie."""


def compared(answer: ScoredSequence | StressAnswer) -> int:
    """How many tokens of the answer, from its first on, can be compared."""
    ends = np.flatnonzero(np.isin(answer.top.ids[:, 0], STOP_IDS))
    return int(ends[0]) if ends.size else len(answer.logprobs)


def deficits(answer: ScoredSequence | StressAnswer) -> FloatArray:
    """The deficit of each compared token in nats, never below 0."""
    upto = compared(answer)
    found: FloatArray = np.maximum(
        answer.top.logprobs[:upto, 0].astype(np.float64) - answer.logprobs[:upto], 0.0
    )
    return found


def beyond_tolerated(answer: ScoredSequence | StressAnswer) -> FloatArray:
    """What each compared token's deficit exceeds ``TOLERATED`` by, in nats; 0 where it does not."""
    found: FloatArray = np.maximum(deficits(answer) - TOLERATED, 0.0)
    return found


def excess(answer: ScoredSequence | StressAnswer) -> float:
    """The sum of what the answer's deficits exceed ``TOLERATED`` by, in nats."""
    return float(beyond_tolerated(answer).sum())
