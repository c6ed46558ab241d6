"""A histogram as Prometheus counts one: how many values lie at or below each bound, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["FIRST_TOKEN_BOUNDS_S", "Histogram"]

FIRST_TOKEN_BOUNDS_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
"""vLLM's bounds for the time to the first token, in seconds."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """``counts`` holds one number for each bound and one for what lies beyond the last."""

    bounds: tuple[float, ...] = FIRST_TOKEN_BOUNDS_S
    counts: tuple[int, ...] = (0,) * (len(FIRST_TOKEN_BOUNDS_S) + 1)
    total: float = 0.0

    def plus(self, value: float) -> Histogram:
        """The histogram with one value more."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Histogram(self.bounds, counts, self.total + value)

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many values lie at or below each bound; the last is how many there are."""
        return tuple(accumulate(self.counts))
