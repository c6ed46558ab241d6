"""Log-probabilities that are no measurement: what servers write where they have computed none.

vLLM writes -9999.0 for minus infinity, because JSON has no word for it; other servers write it for NaN too.
Among the alternatives it may stand for a token that cannot come (a grammar, a bias or a list of allowed
tokens forbids it), and reads as probability 0. As the log-probability of a token that was generated or given
to be scored it is no measurement: the softmax of finite logits gives every token of the vocabulary some
probability, so the logits held NaN or infinity. A log-probability above 0 is none either.

Servers that compute no log-probabilities at all fill in one number, mostly 0.0, and list no alternatives.
Where a token stands among its own alternatives with another log-probability, one of both is another token's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import TopLogprobs

__all__ = ["NEVER", "contradicted", "filler", "no_logprobs", "why_no_logprob"]

NEVER = -9999.0
"""What vLLM writes for minus infinity; what lies below stands for it too (the least float of some width)."""
_ROUNDING = 0.1
"""Nats above 0 that a softmax in bfloat16 may come to: its steps between 16 and 32 are 0.125, half of it
is the rounding of each of two terms."""
_SAME, _SAME_SHARE = 1e-3, 1e-4
"""Nats, and share of the larger, between two texts of one number: servers write five digits or more."""
_ALIKE = 8
"""Positions that chance does not fill with one number other than 0."""


def no_logprobs(logprobs: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Where log-probabilities of generated or scored tokens are none: NaN, infinite, NEVER, above 0."""
    return ~((logprobs > NEVER) & (logprobs <= _ROUNDING))


def why_no_logprob(value: float) -> str:
    """What such a value means and what to look at."""
    if value > _ROUNDING and np.isfinite(value):
        return say("a log-probability is never above 0; look at what the server writes there")
    if np.isfinite(value):
        return say(
            "servers write {value} for NaN and for minus infinity, which no token of finite logits has; "
            "look for NaN in its logits",
            value=NEVER,
        )
    return say("the device computes something that is no number; look for NaN in its logits")


def filler(logprobs: FloatArray, top: TopLogprobs | None) -> float | None:
    """The one number that fills all of an answer's log-probabilities [T]; None where they are measured.

    It is a filler where every log-probability is 0.0 and no alternative is listed, or where every one is the
    same other number, at 8 positions or more, and the alternatives are not told or have that number too.
    Alternatives of NEVER tell nothing. A sound model is at times so sure that it gives 0.0 throughout: then
    its alternatives tell that it was computed. ``top`` None: the alternatives are not known, which asks
    for 8 positions of 0.0 as well.
    """
    if not logprobs.size or not (logprobs == logprobs[0]).all():
        return None
    value = float(logprobs[0])
    if len(logprobs) < _ALIKE and (value != 0.0 or top is None):
        return None
    if top is not None:
        listed = top.logprobs[(top.ids >= 0) & (top.logprobs > NEVER)]
        if not (listed == np.float32(value)).all():
            return None
    return value


def contradicted(
    ids: Sequence[int], logprobs: FloatArray, top: TopLogprobs | None
) -> tuple[int, float] | None:
    """The first position whose log-probability [T] is not the one told for that token among its alternatives.

    With the latter, in nats; None where all agree, or no alternative is the token.
    """
    if top is None:
        return None
    own = (top.ids == np.asarray(ids, np.int64)[:, None]) & (top.logprobs > NEVER)
    same = np.isclose(top.logprobs, logprobs[:, None], rtol=_SAME_SHARE, atol=_SAME)
    places, columns = np.nonzero(own & ~same)
    return (int(places[0]), float(top.logprobs[places[0], columns[0]])) if places.size else None
