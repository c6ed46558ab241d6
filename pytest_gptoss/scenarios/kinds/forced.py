"""Scores of given tokens under a device's model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.model.subjects import CORPUS
from pytest_gptoss.scenarios.context_budget import scored
from pytest_gptoss.scenarios.effort import Effort, answering
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.kinds.greedy import Greedy
from pytest_gptoss.scenarios.round_robin import round_robin
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.sequences import Sequences, corpus_sequences, output_sequences

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["CORPUS", "Forced"]


@dataclass(frozen=True, slots=True)
class Forced(Scenario):
    """Teacher-forced scores: log-probabilities of given tokens under the device's model.

    ``source`` "corpus" scores the fixed token sequences; a device name scores the greedy
    outputs of that device, each behind its own prompt, the answer's positions only; ``outputs``
    is then the scenario that generates them. ``limit`` scores so many of them, drawn over the prompts' tags.
    """

    word = "forced"
    item_classes = (ScoredSequence,)

    source: str = CORPUS
    limit: int | None = None
    outputs: Greedy | None = None

    @property
    def name(self) -> str:
        """``cpu-of-gpu-drawn24``."""
        head = "" if self.limit is None else f"-drawn{self.limit}"
        return f"{self.device}-of-{self.source}{head}"

    @classmethod
    def named(cls, name: str) -> Forced | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+?)-of-(.+?)(?:-drawn(\d+))?", name)
        if found is None:
            return None
        device, source, limit = found.groups()
        outputs = None if source == CORPUS else Greedy(source)
        return cls(device, source, None if limit is None else int(limit), outputs)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        what = "the corpus" if self.outputs is None else f"answers of {self.source}"
        return f"{self.device} scores {what}"

    @property
    def depends_on(self) -> tuple[Scenario, ...]:
        """The answers that are scored."""
        return () if self.outputs is None else (self.outputs,)

    def size(self, setup: Setup) -> int:
        """One request a sequence."""
        return len(self._sequences(setup).kept)

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest sequence that is scored at once, and one more."""
        if self.outputs is not None:
            return self.outputs.context_needed(workload)
        return scored(each for each in workload.corpus if len(each.token_ids) <= workload.max_scored_tokens)

    def effort(self, workload: Workload) -> Effort:
        """The sequences; answers count as long as they may be."""
        if self.outputs is None:
            return Effort(sum(len(each.token_ids) for each in workload.corpus))
        prompts = workload.prompt_sets[self.outputs.prompts].prompts[: self.limit]
        asked = answering(prompts, workload.max_tokens)
        return Effort(asked.read + asked.written, len(prompts))

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request a sequence."""
        sequences, top = self._sequences(setup), setup.workload.top_logprobs
        asks = tuple((each.id, bind(client.score, each, top=top)) for each in sequences.kept)
        return Job(asks, left_out=sequences.left_out)

    def _sequences(self, setup: Setup) -> Sequences:
        workload, context = setup.workload, setup.devices[self.device].max_model_len
        most = workload.max_scored_tokens
        if self.outputs is None:
            return corpus_sequences(workload.corpus, context=context, longest=most)
        answers = list(setup.stored(self.outputs).items)
        if self.limit is not None:
            drawn = round_robin(workload.prompt_sets[self.outputs.prompts].prompts)
            order = {each.id: at for at, each in enumerate(drawn)}
            answers.sort(key=lambda answer: order.get(answer.prompt_id, len(order)))
        return output_sequences(answers, context=context, longest=most, limit=self.limit)
