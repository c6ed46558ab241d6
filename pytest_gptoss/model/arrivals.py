"""When the requests of an open level are sent, and the service level that they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Arrivals", "Law", "Slo", "TraceFile"]

Law: TypeAlias = Literal["poisson", "constant", "gamma", "trace"]


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A recorded sequence of arrivals. ``speed`` 2 plays it twice as fast; ``sha256`` is over its bytes."""

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
