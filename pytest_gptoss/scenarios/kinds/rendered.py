"""Prompt ids as a device renders them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_gptoss.model.results import Generation
from pytest_gptoss.scenarios.context_budget import longest
from pytest_gptoss.scenarios.effort import Effort, answering
from pytest_gptoss.scenarios.job import Ask, Job, bind
from pytest_gptoss.scenarios.kinds.greedy import Greedy
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.inputs import Prompt
    from pytest_gptoss.model.results import Measurement
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Rendered"]


@dataclass(frozen=True, slots=True)
class Rendered(Scenario):
    """The prompt ids a device renders from a prompt set: one token is generated and ignored.

    ``answers`` is the scenario whose answers tell the ids already: then only prompts that it left without an
    answer are asked for. None: every prompt is asked for, as chat.
    """

    word = "rendered"
    item_classes = (Generation,)

    prompts: str = "precision"
    answers: Greedy | None = None

    @property
    def name(self) -> str:
        """``npu-precision``, or ``npu-for-`` and the id of the answers."""
        what = self.prompts if self.answers is None else f"for-{self.answers.id}"
        return f"{self.device}-{what}"

    @classmethod
    def named(cls, name: str) -> Rendered | None:
        """The record that a name tells whole."""
        device, found, rest = name.partition(f"-for-{Greedy.word}-")
        if not found:
            device, _, prompts = name.rpartition("-")
            return cls(device, prompts)
        answers = Greedy.named(rest)
        return None if answers is None else cls(device, answers.prompts, answers)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} renders prompts"

    @property
    def depends_on(self) -> tuple[Scenario, ...]:
        """The answers that tell ids already."""
        return () if self.answers is None else (self.answers,)

    def unknown_input(self, workload: Workload) -> str | None:
        """Name the prompt set that the workload lacks."""
        return workload.unknown_prompt_set(self.prompts)

    def size(self, setup: Setup) -> int:
        """One request a prompt, at most."""
        return len(self._prompts(setup.workload))

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest prompt and one more; as the answers need, where there are answers."""
        if self.answers is not None:
            return self.answers.context_needed(workload)
        return longest(self._prompts(workload)) + 1

    def effort(self, workload: Workload) -> Effort:
        """The prompts, where no answer tells their ids."""
        return Effort() if self.answers is not None else answering(self._prompts(workload), 1)

    def follows(
        self, stored: Mapping[str, Measurement[Any]], workload: Workload, *, may_ask: bool
    ) -> Measurement[Generation] | None:
        """The prompt ids that stored answers tell, where nobody needs to be asked for more."""
        from pytest_gptoss.scenarios.rendering import follows_from

        answers = None if self.answers is None else stored.get(self.answers.id)
        if answers is None:
            return None
        return follows_from(answers, self, self._prompts(workload), may_ask=may_ask)

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request for each prompt whose ids no answer tells; what is told stands first.

        It must not be lost when the device is given up among the others.
        """
        from pytest_gptoss.scenarios.rendering import told_by

        answers = self.answers
        told = {} if answers is None else told_by(setup.stored(answers))
        known: list[tuple[str, Ask]] = [(each, bind(_at_once, told[each])) for each in told]
        others = [prompt for prompt in self._prompts(setup.workload) if prompt.id not in told]
        if answers is None or answers.prompt_ids_of is None:
            return Job((*known, *((prompt.id, bind(client.render, prompt)) for prompt in others)))
        ids, missing = setup.ids_to_send(Rendered(answers.prompt_ids_of, self.prompts), others)
        asks = (
            (each.id, bind(client.render_ids, ids[each.id], prompt_id=each.id))
            for each in others
            if each.id in ids
        )
        return Job((*known, *asks), left_out=missing)

    def _prompts(self, workload: Workload) -> tuple[Prompt, ...]:
        return workload.prompt_sets[self.prompts].prompts


async def _at_once(item: Generation) -> Generation:
    return item
