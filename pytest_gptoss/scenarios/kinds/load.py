"""Load levels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING

from pytest_gptoss.model.load_names import LEVEL, concurrency_of, rate_of
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Load"]


@dataclass(frozen=True, slots=True)
class Load(Scenario):
    """One load level of the workload, by its name: ``c16``. ``trial`` numbers repetitions of all levels."""

    word = "load"
    item_classes = (LoadLevel,)
    runs_alone = True

    level: str
    trial: int = 0

    @property
    def name(self) -> str:
        """``npu-c16-t0``."""
        return f"{self.device}-{self.level}-t{self.trial}"

    @classmethod
    def named(cls, name: str) -> Load | None:
        """The record that a name tells whole."""
        found = re.fullmatch(rf"(?P<device>.+)-(?P<level>{LEVEL})-t(?P<trial>[0-9]{{1,9}})", name)
        return None if found is None else cls(found["device"], found["level"], int(found["trial"]))

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        again = f" again ({self.trial + 1})" if self.trial else ""
        return f"{self.device} under load, {self._how}{again}"

    @property
    def _how(self) -> str:
        concurrency, rate = concurrency_of(self.level), rate_of(self.level)
        if concurrency is not None:
            return f"{concurrency} at once"
        return self.level if isinf(rate) else f"{self.level}: {rate:g} requests a second"

    def unknown_input(self, workload: Workload) -> str | None:
        """Name the load level that the workload lacks."""
        if self.level in workload.levels:
            return None
        return f"no load level is called {self.level!r}; there are: {', '.join(workload.levels)}"

    def size(self, setup: Setup) -> int:
        """Requests of the level; those that warm the server up do not count."""
        return setup.workload.levels[self.level].requests

    def context_needed(self, workload: Workload) -> int:
        """Tokens of a prompt and its answer; 0 of a level that the workload lacks."""
        shape = workload.levels.get(self.level)
        return 0 if shape is None else shape.context_needed

    def effort(self, workload: Workload) -> Effort:
        """All requests, and those that warm up; answers of the requests in flight side by side.

        An open level takes as long as its schedule, and an answer.
        """
        shape = workload.levels.get(self.level)
        if shape is None:
            return Effort()
        if shape.arrivals is not None:
            warm_up = Effort(shape.concurrency * shape.prompt_tokens, 2 * shape.max_tokens)
            return warm_up + Effort(passing_s=shape.requests / shape.arrivals.rate + shape.ramp_up_s / 2)
        requests = shape.requests + shape.concurrency
        return Effort(requests * shape.prompt_tokens, requests * shape.max_tokens // shape.concurrency)

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """The level: warmed up, held, and its counters read around it."""
        from pytest_gptoss.scenarios.load_level import LevelRun

        shape, device = setup.workload.levels[self.level], setup.devices[self.device]
        return LevelRun(self, shape, device, alone.make_client, alone.on_end, setup.drive)
