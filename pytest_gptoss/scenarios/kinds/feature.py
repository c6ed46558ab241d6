"""Features of a server, tried out one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import AbortTrace, BadRequest, Generation
from pytest_gptoss.scenarios.context_budget import FRAME_TOKENS, longest
from pytest_gptoss.scenarios.effort import SHORT_ANSWER, Effort
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.model.subjects import Device
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Feature", "FeatureName"]

FeatureName: TypeAlias = Literal[
    "whole", "cut", "effort-low", "effort-high",
    "tools-auto", "tools-required", "tools-named", "tags", "abort", "bad-requests",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feature(Scenario):
    """One feature of a server, tried out with a handful of requests; ``scenarios.features`` says which."""

    word = "feature"
    item_classes = (Generation, AbortTrace, BadRequest)

    feature: FeatureName

    @property
    def name(self) -> str:
        """``npu-tools-auto``."""
        return f"{self.device}-{self.feature}"

    @classmethod
    def named(cls, name: str) -> Feature | None:
        """The record that a name tells whole."""
        features: tuple[FeatureName, ...] = get_args(FeatureName)
        found = (each for each in features if name.endswith(f"-{each}"))
        return next((cls(name.removesuffix(f"-{each}"), each) for each in found), None)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} {self.feature.replace('-', ' ')}"

    def size(self, setup: Setup) -> int:
        """One step of progress an item."""
        from pytest_gptoss.scenarios.features import item_ids

        return len(item_ids(self.feature, setup.workload.prompt_sets["features"]))

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest prompt with its answer; 0 for "abort", which takes what context there is."""
        from pytest_gptoss.scenarios.features import CUT_AFTER, TAG_TOKENS, TOOL_TOKENS

        if self.feature == "abort":
            return 0
        if self.feature == "tags":
            return FRAME_TOKENS + TAG_TOKENS
        if self.feature.startswith("tools-"):
            return FRAME_TOKENS + TOOL_TOKENS
        answer = CUT_AFTER if self.feature in ("cut", "bad-requests") else workload.max_tokens
        return longest(workload.prompt_sets["features"].prompts) + answer

    def effort(self, workload: Workload) -> Effort:
        """A short prompt and answer for each item."""
        from pytest_gptoss.scenarios.features import item_ids

        items = len(item_ids(self.feature, workload.prompt_sets["features"]))
        return Effort(items * FRAME_TOKENS, items * SHORT_ANSWER)

    def provenance(self, workload: Workload) -> Mapping[str, Json]:
        """The schemas of the tools that were offered."""
        from pytest_gptoss.scenarios.features import TOOL_SCHEMAS

        return {"schemas": dict(TOOL_SCHEMAS)}

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """The feature's requests; none where an aborted request could not be watched."""
        from pytest_gptoss.scenarios.features import FeatureTrial, item_ids

        device, prompts = setup.devices[self.device], setup.workload.prompt_sets["features"]
        if self.feature == "abort" and not device.capabilities.metrics:
            return Job((), left_out={"abort": _why_not_seen(device)})
        context = device.max_model_len
        trial = FeatureTrial(self, client, prompts, max_tokens=setup.workload.max_tokens, context=context)
        ids = item_ids(self.feature, prompts)
        return Job(tuple((item_id, bind(trial.ask, item_id)) for item_id in ids), trial.concurrency)


def _why_not_seen(device: Device) -> str:
    note = device.capabilities.notes.get("metrics")
    return say(
        "{name} has no /metrics with vllm's counters, so its running requests cannot be seen{probed}",
        name=device.name,
        probed=say(": when probed: {note}", note=note) if note else "",
    )
