"""Answers of a load that overflows the KV cache, scored again by the same device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["AUDITED", "Preemption"]

AUDITED = 64
"""Answers that are scored."""


@dataclass(frozen=True, slots=True)
class Preemption(Scenario):
    """Answers of a load that grows until the server preempts: it computes a sequence again from its start."""

    word = "preemption"
    item_classes = (StressAnswer,)
    runs_alone = True

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device

    @classmethod
    def named(cls, name: str) -> Preemption | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} beyond its KV cache"

    def size(self, setup: Setup) -> int:
        """Requests and scored answers, at most."""
        from pytest_gptoss.scenarios.preemption import IN_FLIGHT

        return sum(IN_FLIGHT) + AUDITED

    def effort(self, workload: Workload) -> Effort:
        """A small KV cache filled once and its answers scored; a larger one takes more."""
        from pytest_gptoss.scenarios.preemption import FIRST

        return Effort(2 * AUDITED * FIRST, FIRST)

    def context_needed(self, workload: Workload) -> int:
        """Return 0: what is sent is made to fit the context."""
        return 0

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """The load, and the scoring of its answers."""
        from pytest_gptoss.scenarios.preemption import PreemptionRun

        return PreemptionRun.of(self, setup, alone)
