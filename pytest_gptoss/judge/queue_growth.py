"""Whether the queue of an open level grew: whether the server kept up with the arrivals."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_gptoss.model.results import LoadLevel

__all__ = ["Growth", "growth", "growth_of"]

SETTLING = 1 / 3
"""Share of a level, from its first to its last intended send, in which its queue may fill up."""
SHARE = 0.05
"""Growth that is allowed, as a share of the arrivals."""
DEVIATIONS = 3.0
"""Growth that is allowed, in square roots of the arrivals, the spread of a random number of them."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Requests that were to be sent and those that ended from ``begin_s`` to ``end_s`` of a level."""

    begin_s: float
    end_s: float
    arrivals: int
    completions: int

    @property
    def excess(self) -> int:
        """By how many requests the queue grew; below zero where it shrank."""
        return self.arrivals - self.completions

    @property
    def allowed(self) -> float:
        """How many requests it may grow by."""
        return max(SHARE * self.arrivals, DEVIATIONS * math.sqrt(self.arrivals))


def growth(level: LoadLevel) -> Growth | None:
    """What came and what went after the first third of a level; None of one without two intended sends.

    A request that failed has ended too.
    """
    due = [each.intended_ns for each in level.requests if each.intended_ns is not None]
    return growth_of(due, [each.end_ns for each in level.requests])


def growth_of(due_ns: Iterable[int], end_ns: Iterable[int]) -> Growth | None:
    """The same from stamps alone: of intended sends, and of ends.

    The first third is of the time between the first and the last intended send, and all ends with the last.
    """
    due, ends = sorted(due_ns), sorted(end_ns)
    if len(due) < 2 or due[0] == due[-1]:
        return None
    first, last = due[0], due[-1]
    begin = first + round((last - first) * SETTLING)
    return Growth(
        (begin - first) / 1e9,
        (last - first) / 1e9,
        len(due) - bisect_left(due, begin),
        bisect_right(ends, last) - bisect_left(ends, begin),
    )
