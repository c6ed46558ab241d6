"""Greedy answers to a prompt set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import Generation
from pytest_gptoss.scenarios.context_budget import with_answer
from pytest_gptoss.scenarios.effort import Effort, answering
from pytest_gptoss.scenarios.job import Ask, Job, bind
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.inputs import Prompt
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Greedy"]


_NAME = re.compile(r"(.+?)-([^-]+)(?:-first(\d+))?(?:-ids-of-(.+?))?-c(\d+)-r(\d+)")


@dataclass(frozen=True, slots=True)
class Greedy(Scenario):
    """Greedy outputs of a prompt set: temperature 0, top_p 1.

    ``concurrency`` 1 is one request at a time; ``repeat`` numbers runs of the same thing;
    ``limit`` keeps the first prompts only. ``prompt_ids_of`` names the device whose rendered
    prompt ids are sent as they are (``--gptoss-inputs token-ids``); None sends chat messages.
    """

    word = "greedy"
    item_classes = (Generation,)

    prompts: str = "precision"
    concurrency: int = 1
    repeat: int = 0
    limit: int | None = None
    prompt_ids_of: str | None = None

    @property
    def name(self) -> str:
        """``npu-precision-first8-ids-of-gpu-c4-r1``."""
        head = "" if self.limit is None else f"-first{self.limit}"
        ids = "" if self.prompt_ids_of is None else f"-ids-of-{self.prompt_ids_of}"
        return f"{self.device}-{self.prompts}{head}{ids}-c{self.concurrency}-r{self.repeat}"

    @classmethod
    def named(cls, name: str) -> Greedy | None:
        """The record that a name tells whole."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        device, prompts, limit, ids_of, concurrency, repeat = found.groups()
        first = None if limit is None else int(limit)
        return cls(device, prompts, int(concurrency), int(repeat), first, ids_of)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        how = f" {self.concurrency} at once" if self.concurrency > 1 else " again" if self.repeat else ""
        return f"{self.device} answers{how}"

    @property
    def depends_on(self) -> tuple[Scenario, ...]:
        """The scenario whose prompt ids are sent."""
        from pytest_gptoss.scenarios.kinds.rendered import Rendered

        return () if self.prompt_ids_of is None else (Rendered(self.prompt_ids_of, self.prompts),)

    def unknown_input(self, workload: Workload) -> str | None:
        """Name the prompt set that the workload lacks."""
        return workload.unknown_prompt_set(self.prompts)

    def size(self, setup: Setup) -> int:
        """One request a prompt."""
        return len(self._prompts(setup.workload))

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest prompt with its answer."""
        return with_answer(self._prompts(workload), workload.max_tokens)

    def effort(self, workload: Workload) -> Effort:
        """The prompts and their answers, ``concurrency`` of them side by side."""
        return answering(self._prompts(workload), workload.max_tokens, at_once=self.concurrency)

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request a prompt: chat messages, or the ids that another device has rendered of them."""
        workload = setup.workload
        top = workload.top_logprobs if setup.devices[self.device].capabilities.logprobs else None
        prompts = self._prompts(workload)
        if self.prompt_ids_of is None:
            asks = tuple(
                (each.id, bind(client.chat, each, max_tokens=workload.budget(each), top_logprobs=top))
                for each in prompts
            )
            return Job(asks, self.concurrency)
        (rendered,) = self.depends_on
        ids, missing = setup.ids_to_send(rendered, prompts)

        def with_ids() -> Iterator[tuple[str, Ask]]:
            for each in prompts:
                if each.id in ids:
                    asked = {"prompt_id": each.id, "max_tokens": workload.budget(each), "top_logprobs": top}
                    yield each.id, bind(client.complete, ids[each.id], **asked)

        return Job(tuple(with_ids()), self.concurrency, missing)

    def _prompts(self, workload: Workload) -> tuple[Prompt, ...]:
        return workload.prompt_sets[self.prompts].prompts[: self.limit]
