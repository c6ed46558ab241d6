"""What the figures of an open level rest on: as many independent requests as its own are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_gptoss.judge.effective_number import effective_number, needed_for
from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.intervals import Interval
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel

__all__ = ["certified", "widened"]


def certified(level: LoadLevel, values: Sequence[float], percent: float | None) -> float | None:
    """How many independent requests the ``values`` are worth, one of each request in order of arrival.

    None for a closed level, whose requests all count. Raises InsufficientData where they are too few for the
    percentile (``percent``, None for what is none), with the time that would do.
    """
    if level.shape.arrivals is None:
        return None
    effective = effective_number(values)
    if percent is not None and effective < needed_for(percent):
        raise InsufficientData(_why_too_few(level, len(values), effective, percent))
    return effective


def widened(interval: Interval | None, estimate: float, n: int, effective: float | None) -> Interval | None:
    """The interval of a mean of ``n`` values that are worth ``effective`` independent ones (None: all)."""
    if interval is None or effective is None:
        return interval
    wider = math.sqrt(n / effective)
    low, high = interval
    return estimate - (estimate - low) * wider, estimate + (high - estimate) * wider


def _why_too_few(level: LoadLevel, n: int, effective: float, percent: float) -> str:
    needed = needed_for(percent)
    due = [each.intended_ns for each in level.requests if each.intended_ns is not None]
    seconds = (max(due) - min(due)) / 1e9 if due else 0.0
    return say(
        "{n} requests are worth {effective} independent ones, since those behind each other wait alike; the "
        "{percent}th percentile needs {needed}: they came in {seconds} s, measure for {enough} s with "
        "--gptoss-duration",
        n=n,
        effective=math.floor(effective),
        percent=fixed(percent, 0),
        needed=needed,
        seconds=fixed(seconds, 1),
        enough=math.ceil(seconds * needed / effective),
    )
