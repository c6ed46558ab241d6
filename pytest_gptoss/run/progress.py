"""Progress of long measurements: who has done how much, how fast, how long it may still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Progress"]

MOST_SHOWN, LEAST_ADVANCED = 8, 4
"""Labels that a line lists; of more than those, the ones that are least advanced."""


@dataclass
class Progress:
    """Counts finished items of the scenarios under way and tells a line now and then.

    ``tell`` receives a finished line. Lines come at most every ``every_s`` seconds, so a CI log
    stays short and a person at a terminal sees that it moves.
    """

    tell: Callable[[str], None]
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _done: dict[str, int] = field(default_factory=dict)
    _total: dict[str, int] = field(default_factory=dict)
    _started: float = 0.0
    _told: float = 0.0

    def start(self, totals: dict[str, int]) -> None:
        """Begin a stage: scenario label -> number of items."""
        self._done = dict.fromkeys(totals, 0)
        self._total = dict(totals)
        self._started = self._told = self.clock()

    def step(self, label: str) -> None:
        """One item of a scenario is finished, well or badly."""
        self._done[label] += 1
        now = self.clock()
        if now - self._told >= self.every_s:
            self._told = now
            self.tell(self.line(now))

    def line(self, now: float) -> str:
        """The state in one line: the labels' counts, the rate, the estimate of what is left."""
        done, total = sum(self._done.values()), sum(self._total.values())
        rate = done / max(now - self._started, 1e-9)
        counts = ", ".join(self._counts())
        left = f", about {(total - done) / rate:.0f} s left" if done else ""
        return f"gptoss: {counts} ({rate:.1f}/s{left})"

    def _counts(self) -> list[str]:
        """Each label's count; of many labels those that are least advanced, and the others together."""
        labels, shown = list(self._total), len(self._total)
        if shown > MOST_SHOWN:
            shown = LEAST_ADVANCED
            labels.sort(key=lambda label: self._done[label] / max(self._total[label], 1))
        counts = [f"{label} {self._done[label]}/{self._total[label]}" for label in labels[:shown]]
        others = labels[shown:]
        if others:
            done, total = (sum(counted[label] for label in others) for counted in (self._done, self._total))
            counts.append(f"{len(others)} others {done}/{total}")
        return counts
