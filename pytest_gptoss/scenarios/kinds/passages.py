"""Scores of a few passages of the fixed texts, which a fleet's nodes are compared by."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.scenarios.context_budget import scored
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.round_robin import round_robin
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.sequences import Sequences, corpus_sequences

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.inputs import TokenSequence
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Passages"]

COUNT, MOST_TOKENS = 16, 512
"""Passages, and the most tokens of one."""
TOP = 2
"""Likeliest tokens that are asked for: few, since all nodes' scores are in memory together."""


@dataclass(frozen=True, slots=True)
class Passages(Scenario):
    """Log-probabilities of the tokens of passages, under teacher forcing."""

    word = "passages"
    item_classes = (ScoredSequence,)

    @property
    def name(self) -> str:
        """``n07``."""
        return self.device

    @classmethod
    def named(cls, name: str) -> Passages | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} scores passages"

    def size(self, setup: Setup) -> int:
        """One request a passage."""
        return len(self._sequences(setup).kept)

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest passage, and one more."""
        return scored(passages(workload))

    def effort(self, workload: Workload) -> Effort:
        """The passages once."""
        return Effort(sum(len(each.token_ids) for each in passages(workload)))

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request a passage."""
        sequences = self._sequences(setup)
        asks = tuple((each.id, bind(client.score, each, top=TOP)) for each in sequences.kept)
        return Job(asks, left_out=sequences.left_out)

    def _sequences(self, setup: Setup) -> Sequences:
        context, longest = setup.devices[self.device].max_model_len, setup.workload.max_scored_tokens
        return corpus_sequences(passages(setup.workload), context=context, longest=longest)


def passages(workload: Workload) -> tuple[TokenSequence, ...]:
    """The first sequences of the corpus, each kind about equally often, cut to ``MOST_TOKENS``."""
    drawn = round_robin(workload.corpus)[:COUNT]
    cut = (dataclasses.replace(each, token_ids=each.token_ids[:MOST_TOKENS]) for each in drawn)
    return tuple(each for each in cut if each.first < len(each.token_ids))
