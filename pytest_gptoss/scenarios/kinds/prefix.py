"""Answers to prompts that begin alike, from the prefix cache and without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.job import Alone, JobAlone, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["CACHED", "COLD", "LEAST_CACHED", "CachedPrefix"]

QUESTIONS = 12
LEAST_CACHED = 1024
"""Tokens of a prompt that must come from the cache, if its answer is to count as one from the cache."""
SHARED_TOKENS = 1152
"""Tokens that all prompts begin with: a block of 128 more than ``LEAST_CACHED``, since some servers compute
the last block of what they find anew."""
OWN_TOKENS = 160
"""Tokens behind them, other ones in each prompt, the question included: more than one block of 128."""
ANSWER_TOKENS = 32

COLD = "cold"
"""The kind of answers whose prompts must not come from the cache: each has a cache salt of its own."""
CACHED = "cached"
"""The kind of answers to the same prompts under one cache salt."""


@dataclass(frozen=True, slots=True)
class CachedPrefix(Scenario):
    """Questions behind one long beginning: each asked ``cold``, then ``cached``, one request at a time."""

    word = "prefix"
    item_classes = (StressAnswer,)
    runs_alone = True

    @property
    def name(self) -> str:
        """``npu``."""
        return self.device

    @classmethod
    def named(cls, name: str) -> CachedPrefix | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} answers from the prefix cache"

    def size(self, setup: Setup) -> int:
        """Each question is asked twice, and both answers are scored."""
        return 4 * QUESTIONS

    def context_needed(self, workload: Workload) -> int:
        """A prompt and its answer, and one token more."""
        return SHARED_TOKENS + OWN_TOKENS + ANSWER_TOKENS + 1

    def effort(self, workload: Workload) -> Effort:
        """Each question cold, from the cache, and both answers scored."""
        prompt = SHARED_TOKENS + OWN_TOKENS
        return Effort(QUESTIONS * (3 * prompt + OWN_TOKENS), 2 * QUESTIONS * ANSWER_TOKENS)

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """Ask the questions, then score the answers, one at a time."""
        from pytest_gptoss.scenarios.cached_prefix import CachedPrefixRun

        return CachedPrefixRun(setup.devices[self.device], setup.workload.max_scored_tokens, alone)
