"""A round of canaries: a few prompts whose answers a fleet's nodes repeat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.scenarios.context_budget import with_answer
from pytest_gptoss.scenarios.effort import Effort, answering
from pytest_gptoss.scenarios.round_robin import round_robin
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.model.inputs import Prompt
    from pytest_gptoss.scenarios.job import Alone, JobTogether, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["MOST_TOKENS", "Canaries", "canary_budget", "canary_prompts", "canary_tokens", "rounds_of"]

MOST_TOKENS = 256
"""Most output tokens of a canary's answer."""


@dataclass(frozen=True, slots=True)
class Canaries(Scenario):
    """The first ``count`` prompts, drawn over their tags, ``in_flight`` of them at a time.

    The same ``round`` is measured on all nodes at the same time. The item's requests keep the order of the
    prompts, and their ids end in the place of the prompt.
    """

    word = "canaries"
    item_classes = (LoadLevel,)
    runs_together = True

    round: int
    in_flight: int
    count: int

    @property
    def name(self) -> str:
        """``n07-r1-f4-n16``."""
        return f"{self.device}-r{self.round}-f{self.in_flight}-n{self.count}"

    @classmethod
    def named(cls, name: str) -> Canaries | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+)-r([0-9]{1,4})-f([0-9]{1,4})-n([0-9]{1,4})", name)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]), int(found[4]))

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} canaries, round {self.round + 1}"

    def size(self, setup: Setup) -> int:
        """One request a canary; those that warm the server up do not count."""
        return len(canary_prompts(setup.workload, self.count))

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest prompt and its answer."""
        return with_answer(canary_prompts(workload, self.count), canary_tokens(workload))

    def effort(self, workload: Workload) -> Effort:
        """The prompts and their answers, ``in_flight`` of them side by side."""
        prompts = canary_prompts(workload, self.count)
        return answering(prompts, canary_tokens(workload), at_once=self.in_flight)

    def job_together(self, setup: Setup, alone: Alone) -> JobTogether:
        """One node's part: warmed up before the first round, then the prompts."""
        from pytest_gptoss.scenarios.canary_round import CanaryRun

        return CanaryRun(self, setup, alone)


def canary_prompts(workload: Workload, count: int) -> tuple[Prompt, ...]:
    """The canaries: the first prompts of the precision set, each kind of them about equally often."""
    return round_robin(workload.prompt_sets["precision"].prompts)[:count]


def canary_tokens(workload: Workload) -> int:
    """Most output tokens of a canary's answer."""
    return min(MOST_TOKENS, workload.max_tokens)


def canary_budget(prompt: Prompt, most: int) -> int:
    """Most output tokens of the answer to one of the prompts, ``most`` or fewer."""
    return min(most, prompt.max_tokens or most)


def rounds_of(device: str, task: FleetTask) -> tuple[Canaries, ...]:
    """Every round of a node, in the order in which they are measured."""
    return tuple(Canaries(device, each, task.flying(each), task.canaries) for each in range(task.repeats))
