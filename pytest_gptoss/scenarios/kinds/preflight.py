"""What a server tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Preflight"]


@dataclass(frozen=True, slots=True)
class Preflight(Scenario):
    """What a server tells about itself before anything is measured; taken while devices are probed."""

    word = "preflight"
    item_classes = (ServerFacts,)
    measured_while_probing = True

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device

    @classmethod
    def named(cls, name: str) -> Preflight | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} preflight"

    def size(self, setup: Setup) -> int:
        """One step of progress: the probing of one device."""
        return 1

    def context_needed(self, workload: Workload) -> int:
        """Return 0: probing sends short requests only."""
        return 0

    def effort(self, workload: Workload) -> Effort:
        """Nothing to speak of."""
        return Effort()
