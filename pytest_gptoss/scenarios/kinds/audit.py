"""Answers of a load level, scored again by the same device while nothing else is asked of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.load_names import LEVEL
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.kinds.load import Load
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Audit"]


@dataclass(frozen=True, slots=True)
class Audit(Scenario):
    """The first measurement of a load level: ``limit`` of its answers, drawn by seed; None takes all."""

    word = "audit"
    item_classes = (StressAnswer,)
    runs_alone = True

    level: str
    limit: int | None = 64

    @property
    def name(self) -> str:
        """``npu-c16-drawn64``."""
        return f"{self.device}-{self.level}-{'all' if self.limit is None else f'drawn{self.limit}'}"

    @classmethod
    def named(cls, name: str) -> Audit | None:
        """The record that a name tells whole."""
        found = re.fullmatch(rf"(?P<device>.+)-(?P<level>{LEVEL})-(?:all|drawn(?P<limit>[0-9]{{1,9}}))", name)
        if found is None:
            return None
        return cls(found["device"], found["level"], None if found["limit"] is None else int(found["limit"]))

    @property
    def load(self) -> Load:
        """The load level whose answers are audited."""
        return Load(self.device, self.level)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} audits {self.level}"

    @property
    def depends_on(self) -> tuple[Scenario, ...]:
        """The load level."""
        return (self.load,)

    def size(self, setup: Setup) -> int:
        """Answers that are scored; more where some say too little."""
        requests = self.load.size(setup)
        return requests if self.limit is None else min(self.limit, requests)

    def context_needed(self, workload: Workload) -> int:
        """A prompt and its answer, and one token more."""
        needed = self.load.context_needed(workload)
        return needed + 1 if needed else 0

    def unknown_input(self, workload: Workload) -> str | None:
        """Name the load level that the workload lacks."""
        return self.load.unknown_input(workload)

    def effort(self, workload: Workload) -> Effort:
        """The drawn answers behind their prompts."""
        shape = workload.levels.get(self.level)
        if shape is None:
            return Effort()
        answers = shape.requests if self.limit is None else min(self.limit, shape.requests)
        return Effort(answers * (shape.prompt_tokens + shape.max_tokens), answers)

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """Score the answers, one at a time."""
        from pytest_gptoss.scenarios.audit import AuditRun

        return AuditRun.of(self, setup, alone)
