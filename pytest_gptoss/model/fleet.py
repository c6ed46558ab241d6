"""A fleet: servers of one model that are compared with each other."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAST_NODES", "MOST_ASKED", "MOST_NODES", "FleetTask"]

LEAST_NODES, MOST_NODES = 3, 64
"""With two nodes that differ nobody can say which one is odd."""
MOST_ASKED = 256
"""Most canaries, and most requests in flight over all nodes."""


@dataclass(frozen=True, slots=True)
class FleetTask:
    """The ``nodes``, device names in the file's order, and how much they are asked.

    ``canaries`` prompts are asked in each of ``repeats`` rounds. ``in_flight``: the most requests in flight
    over all nodes together.
    """

    nodes: tuple[str, ...]
    canaries: int = 16
    repeats: int = 4
    in_flight: int = 256

    @property
    def busy(self) -> int:
        """Requests in flight on each node in a busy round."""
        return max(1, min(self.canaries, self.in_flight // len(self.nodes)))

    def flying(self, round_: int) -> int:
        """Requests in flight on each node in a round, counted from 0: one in even rounds, the quiet ones."""
        return self.busy if round_ % 2 else 1
