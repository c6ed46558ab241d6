"""Answers in the midst of many requests whose clients leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["BEFORE", "CANARY", "STREAM", "STREAMS", "AbortStorm"]

STREAMS = 64
"""Requests whose client leaves."""
AT_ONCE = 16
"""How many of them are opened together: a wave."""
CANARIES = 8
PROMPT_TOKENS = 96
ANSWER_TOKENS = 32
ROUNDS = STREAMS // AT_ONCE + 1
"""How often the canaries are asked: in each wave, and once more at the end."""

BEFORE = "before"
"""The kind of canaries' answers before any request was left."""
CANARY = "canary"
"""The kind of canaries' answers in the storm and right after it."""
STREAM = "stream"
"""Begins the ids of requests that were to be left; those that were not are ``left_out``."""


@dataclass(frozen=True, slots=True)
class AbortStorm(Scenario):
    """Streams that are left after a few tokens, and canaries that are asked meanwhile, several at once."""

    word = "storm"
    item_classes = (StressAnswer,)
    runs_alone = True

    @property
    def name(self) -> str:
        """``npu``."""
        return self.device

    @classmethod
    def named(cls, name: str) -> AbortStorm | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} storm of aborts"

    def size(self, setup: Setup) -> int:
        """The streams, and each canary's answers, which are scored."""
        return STREAMS + (1 + ROUNDS) * CANARIES

    def context_needed(self, workload: Workload) -> int:
        """A prompt and its answer, and one token more."""
        return PROMPT_TOKENS + ANSWER_TOKENS + 1

    def effort(self, workload: Workload) -> Effort:
        """Streams of which little is written, and each canary's answers, which are scored too."""
        answers = (1 + ROUNDS) * CANARIES
        read = STREAMS * PROMPT_TOKENS + answers * (2 * PROMPT_TOKENS + ANSWER_TOKENS)
        return Effort(read, (1 + ROUNDS) * ANSWER_TOKENS)

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """Leave the streams and ask the canaries, then score the canaries' answers."""
        from pytest_gptoss.scenarios.abort_storm import AbortStormRun

        return AbortStormRun(setup.devices[self.device], setup.workload.max_scored_tokens, alone)
