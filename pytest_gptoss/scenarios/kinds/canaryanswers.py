"""Answers of all rounds of canaries, scored again by the same node while nothing else is asked of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.kinds.canaries import Canaries, rounds_of
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.scenarios.job import Job, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["CanaryAnswers", "answer_id", "answers_by"]


@dataclass(frozen=True, slots=True)
class CanaryAnswers(Scenario):
    """The answers of ``repeats`` rounds of ``canaries``; ``busy`` were in flight in every second round.

    An item's ``sequence_id`` is ``answer_id(round, place)``, its ``kind`` the round: "r0". Each has its five
    likeliest tokens.
    """

    word = "canaryanswers"
    item_classes = (StressAnswer,)

    canaries: int
    repeats: int
    busy: int

    @property
    def name(self) -> str:
        """``n07-n16-r4-f4``."""
        return f"{self.device}-n{self.canaries}-r{self.repeats}-f{self.busy}"

    @classmethod
    def named(cls, name: str) -> CanaryAnswers | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+)-n([0-9]{1,4})-r([0-9]{1,4})-f([0-9]{1,4})", name)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]), int(found[4]))

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} scores its canaries"

    @property
    def depends_on(self) -> tuple[Canaries, ...]:
        """The rounds."""
        task = FleetTask((self.device,), self.canaries, self.repeats, self.busy)
        return rounds_of(self.device, task)

    def size(self, setup: Setup) -> int:
        """Answers that are scored; equal ones are asked for once."""
        return sum(each.size(setup) for each in self.depends_on)

    def context_needed(self, workload: Workload) -> int:
        """A prompt and its answer, and one token more."""
        needed = max((each.context_needed(workload) for each in self.depends_on), default=0)
        return needed + 1 if needed else 0

    def effort(self, workload: Workload) -> Effort:
        """Each canary once: most answers repeat."""
        asked = Canaries(self.device, 0, 1, self.canaries).effort(workload)
        return Effort(asked.read + asked.written, self.canaries)

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request an answer, one after the other."""
        from pytest_gptoss.scenarios.canary_answers import answers_job

        return answers_job(self, setup, client)


def answers_by(device: str, task: FleetTask) -> CanaryAnswers:
    """The scored answers of a fleet's node."""
    return CanaryAnswers(device, task.canaries, task.repeats, task.busy)


def answer_id(round_: int, place: int) -> str:
    """The id of the answer to the canary at a place, in a round: ``r0-07``."""
    return f"r{round_}-{place:02d}"
