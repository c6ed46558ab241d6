"""The highest rate of requests under a service level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.capacity import CapacityProbe
from pytest_gptoss.model.message import say
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Capacity"]

_PROBES = 16
"""Probes of an ordinary search."""


@dataclass(frozen=True, slots=True)
class Capacity(Scenario):
    """Probes at one rate after the other; the workload says under which service level."""

    word = "capacity"
    item_classes = (CapacityProbe,)
    runs_alone = True

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device

    @classmethod
    def named(cls, name: str) -> Capacity | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"capacity of {self.device}"

    def unknown_input(self, workload: Workload) -> str | None:
        """Say that no service level was given."""
        if workload.capacity is not None:
            return None
        return say(
            "capacity is the highest rate that keeps a service level, and none is given: give "
            "--gptoss-slo-ttft MS, --gptoss-slo-tpot MS or both"
        )

    def size(self, setup: Setup) -> int:
        """Probes of an ordinary search."""
        return _PROBES

    def context_needed(self, workload: Workload) -> int:
        """Tokens of a prompt and its answer; 0 where no service level was given."""
        task = workload.capacity
        return 0 if task is None else task.prompt_tokens + task.max_tokens

    def effort(self, workload: Workload) -> Effort:
        """An ordinary search, no probe of which is decided early."""
        task = workload.capacity
        if task is None:
            return Effort()
        return Effort(passing_s=_PROBES * task.probe_s)

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """The search."""
        from pytest_gptoss.scenarios.capacity import CapacityRun

        task = setup.workload.capacity
        if task is None:
            raise ValueError("capacity is measured without a service level")
        return CapacityRun(setup.devices[self.device], task, alone, setup.drive)
