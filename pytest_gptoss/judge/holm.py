"""Many tests at once with one bound on the chance of any false alarm: Holm's procedure.

S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70. It
needs no independence of the tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Step", "holm"]

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Step:
    """One test among many.

    ``level``: a p-value at most this is significant; it is told so that nothing is significant that the
    procedure stops before. ``adjusted``: its p-value times the tests that stood with it, at most 1; it is
    significant where that is at most the level of all.
    """

    level: float
    adjusted: float


def holm(p_values: Mapping[Key, float], level: float) -> dict[Key, Step]:
    """The tests, so that with probability 1 - ``level`` or more none is significant by chance alone."""
    found: dict[Key, Step] = {}
    adjusted, stopped = 0.0, 0
    for rank, key in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        left = len(p_values) - rank
        adjusted = max(adjusted, min(1.0, left * p_values[key]))
        stopped = stopped or (left if adjusted > level else 0)
        found[key] = Step(level / (stopped or left), adjusted)
    return found
