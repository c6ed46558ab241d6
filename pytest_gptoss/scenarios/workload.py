"""What is asked: prompt sets, fixed token sequences and the settings of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.model.inputs import LoadShape, NeedleTask, Prompt, PromptSet, TokenSequence
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.scenarios.long_texts import LongTexts

__all__ = ["Workload"]


@dataclass(frozen=True)
class Workload:
    """Inputs and settings of one run.

    ``prompt_sets`` by name; "precision" is the one the thresholds use. ``corpus`` is the fixed
    token sequences with ``corpus_sha256``. ``max_scored_tokens`` bounds every prompt_logprobs
    request: full-vocabulary logits of long prompts can exhaust a device's memory. ``needle`` is what
    the long-context cells hide, ``levels`` the load levels by name, ``long`` what is scored at chunk
    edges, ``capacity`` the search for the highest rate (None without a service level); none is part of
    ``facts``, their measurements carry them themselves.
    """

    prompt_sets: Mapping[str, PromptSet]
    corpus: tuple[TokenSequence, ...]
    corpus_sha256: str
    max_tokens: int
    top_logprobs: int
    max_scored_tokens: int
    needle: NeedleTask = field(default_factory=NeedleTask)
    levels: Mapping[str, LoadShape] = field(default_factory=dict)
    long: LongTexts = field(default_factory=LongTexts)
    capacity: CapacityTask | None = None

    def budget(self, prompt: Prompt) -> int:
        """Most tokens of a prompt's answer."""
        return prompt.max_tokens or self.max_tokens

    def unknown_prompt_set(self, name: str) -> str | None:
        """Say that no prompt set has this name, and which there are; None when there is one."""
        if name in self.prompt_sets:
            return None
        return f"no prompt set is called {name!r}; there are: {', '.join(self.prompt_sets)}"

    def facts(self) -> dict[str, Json]:
        """What must be equal for two runs' measurements to be comparable."""
        return {
            "prompts_sha256": self.prompt_sets["precision"].sha256,
            "corpus_sha256": self.corpus_sha256,
            "max_tokens": self.max_tokens,
            "top_logprobs": self.top_logprobs,
            "max_scored_tokens": self.max_scored_tokens,
        }
