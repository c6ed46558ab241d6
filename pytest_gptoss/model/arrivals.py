"""When the requests of an open level are sent, and the service level that they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["MOST_CV", "Arrivals", "Law", "Slo", "TraceFile", "read_law", "warm_up_of"]

Law: TypeAlias = Literal["poisson", "constant", "gamma", "trace"]

MOST_CV = 100.0
_MOST_WARM_UP = 64


def warm_up_of(rate: float) -> int:
    """How many requests warm the server up before an open level: as many as come in a second."""
    return max(1, min(_MOST_WARM_UP, math.ceil(rate)))


def read_law(text: str) -> tuple[Law, float] | None:
    """The law that a text names, and its coefficient of variation: ``gamma:2``. None for any other text."""
    if text == "poisson":
        return "poisson", 1.0
    if text == "constant":
        return "constant", 1.0
    word, _, number = text.partition(":")
    try:
        cv = float(number)
    except ValueError:
        return None
    return ("gamma", cv) if word == "gamma" and math.isfinite(cv) and 0.01 <= cv <= MOST_CV else None


@dataclass(frozen=True, slots=True)
class TraceFile:
    """Recorded arrivals. ``speed`` 2 plays them twice as fast; ``sha256`` is over the lines that are used."""

    path: str
    sha256: str
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests are sent when they are due, whatever the server does (open loop).

    ``rate``: requests a second on average. Gaps between them are drawn from ``seed``: exponential (poisson),
    equal (constant), of the gamma distribution with coefficient of variation ``cv``, or those of ``trace``.
    """

    rate: float
    law: Law = "poisson"
    cv: float = 1.0
    seed: int = 0
    trace: TraceFile | None = None


@dataclass(frozen=True, slots=True)
class Slo:
    """What a request keeps that is good enough, in ms; ``share`` of all requests must. None is no limit."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    share: float = 0.95

    @property
    def is_set(self) -> bool:
        """Whether it limits anything."""
        return self.ttft_ms is not None or self.tpot_ms is not None

    def is_kept(self, ttft_ms: float | None, tpot_ms: float | None) -> bool:
        """Whether a whole answer keeps it. One that came in a single event has no TPOT, and keeps any."""
        too_late = self.ttft_ms is not None and (ttft_ms is None or ttft_ms > self.ttft_ms)
        too_slow = self.tpot_ms is not None and tpot_ms is not None and tpot_ms > self.tpot_ms
        return not too_late and not too_slow
