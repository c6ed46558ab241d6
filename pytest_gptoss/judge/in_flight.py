"""How many requests of a level were in flight over time, and how many of them waited for a first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.results import LoadLevel

__all__ = ["MOST_POINTS", "InFlight", "in_flight"]

MOST_POINTS = 120
"""Moments at which requests are counted, however long a level lasts."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """Counts at moments ``s`` of a level, in seconds since the first request was to be sent.

    ``in_flight``: sent, and not ended. ``waiting``: those of them without a first token.
    """

    s: tuple[float, ...]
    in_flight: tuple[int, ...]
    waiting: tuple[int, ...]


def in_flight(level: LoadLevel) -> InFlight | None:
    """Counts at MOST_POINTS evenly spaced moments from the first intended send to the last end.

    None of a level of which nothing was sent.
    """
    sent = [each for each in level.requests if each.sent_ns is not None]
    if not sent:
        return None
    begin = min(each.sent_ns or 0 if each.intended_ns is None else each.intended_ns for each in sent)
    last = max(each.end_ns for each in sent)
    moments = np.linspace(begin, last, MOST_POINTS)
    began = _until([each.sent_ns or 0 for each in sent], moments)
    ended = _until([each.end_ns for each in sent], moments)
    # A request that ended without a token waits no longer.
    answered = _until([each.token_ns[0] if each.token_ns else each.end_ns for each in sent], moments)
    return InFlight(
        tuple(((moments - begin) / 1e9).round(6).tolist()),
        tuple((began - ended).tolist()),
        tuple((began - answered).tolist()),
    )


def _until(stamps: Sequence[int], moments: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """How many stamps lie at or before each moment."""
    return np.searchsorted(np.sort(np.asarray(stamps, dtype=np.float64)), moments, side="right")
