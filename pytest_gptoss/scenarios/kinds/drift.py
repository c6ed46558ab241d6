"""Log-probabilities along one long text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import DriftPoint
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.job import Ask, Job, bind
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Drift"]


@dataclass(frozen=True, slots=True)
class Drift(Scenario):
    """Log-probabilities of the true next token here and there in one long text.

    Asked for behind prefixes longer than ``above`` and no longer than ``length`` tokens, so that the
    scenarios of neighbouring lengths make up one sequence and nothing is measured twice.
    """

    word = "drift"
    item_classes = (DriftPoint,)

    above: int
    length: int

    @property
    def name(self) -> str:
        """``npu-1024-4096``: above the one and up to the other."""
        return f"{self.device}-{self.above}-{self.length}"

    @classmethod
    def named(cls, name: str) -> Drift | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+)-(\d+)-(\d+)", name)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]))

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} drift to {self.length} tokens"

    def size(self, setup: Setup) -> int:
        """One request a position."""
        from pytest_gptoss.scenarios.drift import positions

        return len(positions(self))

    def context_needed(self, workload: Workload) -> int:
        """Return 0: a position beyond the context is left out, and the others are asked for."""
        return 0

    def effort(self, workload: Workload) -> Effort:
        """The longest prefix, which the cache carries from position to position, and a token for each."""
        from pytest_gptoss.scenarios.drift import positions

        return Effort(self.length - self.above, len(positions(self)))

    def provenance(self, workload: Workload) -> Mapping[str, Json]:
        """What the text was made from."""
        return {"needle": asdict(workload.needle)}

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request for each position that the device can be asked for."""
        from pytest_gptoss.scenarios.drift import DriftPoints, positions, why_not_asked

        device, task = setup.devices[self.device], setup.workload.needle
        points = DriftPoints(client, task=task, length=self.length, top=setup.workload.top_logprobs)
        asks: list[tuple[str, Ask]] = []
        left_out: dict[str, str] = {}
        able, context = device.capabilities, device.max_model_len
        for spot, position in positions(self):
            reason = why_not_asked(spot, device=device.name, able=able, task=task, context=context)
            if reason is None:
                asks.append((f"token-{position}", bind(points.ask, spot, position)))
            else:
                left_out[f"token-{position}"] = reason
        return Job(tuple(asks), left_out=left_out)
