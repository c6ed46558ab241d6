"""Cells of the long-context test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import NeedleAnswer
from pytest_gptoss.scenarios.effort import SHORT_ANSWER, Effort
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Needle"]


@dataclass(frozen=True, slots=True)
class Needle(Scenario):
    """One cell of the long-context test: a needle at ``depth`` (0 to 1) of a prompt of ``length`` tokens.

    ``control``: the same haystack without the needle, and the same question.
    """

    word = "needle"
    item_classes = (NeedleAnswer,)

    depth: float
    length: int
    control: bool = False

    @property
    def cell(self) -> str:
        """The cell's name in threshold ids: ``d025-32k``."""
        size = f"{self.length // 1024}k" if self.length % 1024 == 0 else str(self.length)
        return f"d{round(self.depth * 100):03d}-{size}"

    @property
    def name(self) -> str:
        """``npu-d025-32k``, ``npu-d025-32k-control``."""
        return f"{self.device}-{self.cell}{'-control' if self.control else ''}"

    @classmethod
    def named(cls, name: str) -> Needle | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+)-d(\d+)-(\d+)(k?)(-control)?", name)
        if found is None:
            return None
        device, hundredths, size, unit, control = found.groups()
        return cls(device, int(hundredths) / 100, int(size) * (1024 if unit else 1), control is not None)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} needle {self.cell}{' control' if self.control else ''}"

    def size(self, setup: Setup) -> int:
        """One step of progress a trial."""
        return setup.workload.needle.trials

    def context_needed(self, workload: Workload) -> int:
        """Tokens of prompt and answer; 0 beyond ``--gptoss-max-context-len``, where the cell is not asked."""
        from pytest_gptoss.scenarios.needle_prompt import RESERVE, planned_tokens

        needed = planned_tokens(self.length) + RESERVE
        return needed if needed <= workload.needle.max_context_len else 0

    def effort(self, workload: Workload) -> Effort:
        """The trials' prompts and a short answer each; none where the cell is not asked."""
        if not self.context_needed(workload):
            return Effort()
        return Effort(workload.needle.trials * self.length, workload.needle.trials * SHORT_ANSWER)

    def provenance(self, workload: Workload) -> Mapping[str, Json]:
        """What was hidden, and in what."""
        return {"needle": asdict(workload.needle)}

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """The cell's trials, one after the other; none where the context is too short."""
        from pytest_gptoss.scenarios.needle_trial import NeedleTrials, why_left_out

        device, task = setup.devices[self.device], setup.workload.needle
        reason = why_left_out(self, task, context=device.max_model_len)
        ids = [f"trial-{trial}" for trial in range(task.trials)]
        if reason is not None:
            return Job((), left_out=dict.fromkeys(ids, reason))
        trials = NeedleTrials(client, able=device.capabilities, task=task)
        return Job(tuple((item_id, bind(trials.ask, self, trial)) for trial, item_id in enumerate(ids)))
