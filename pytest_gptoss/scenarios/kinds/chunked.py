"""Scores of long sequences, which a server computes in chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Chunked"]


@dataclass(frozen=True, slots=True)
class Chunked(Scenario):
    """Log-probabilities of the tokens of long sequences, while ``beside`` other streams decode.

    The scores hold all positions, so that chunk edges can be looked for wherever they lie.
    """

    word = "chunked"
    item_classes = (ScoredSequence,)

    beside: int = 0

    @property
    def name(self) -> str:
        """``npu-beside4``."""
        return f"{self.device}-beside{self.beside}"

    @classmethod
    def named(cls, name: str) -> Chunked | None:
        """The record that a name tells whole."""
        found = re.fullmatch(r"(.+)-beside(\d{1,4})", name)
        return None if found is None else cls(found[1], int(found[2]))

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        how = f" beside {self.beside} streams" if self.beside else ""
        return f"{self.device} scores long prompts{how}"

    def size(self, setup: Setup) -> int:
        """One request a sequence; the streams beside are not counted."""
        from pytest_gptoss.scenarios.chunked import sequences_for

        return len(sequences_for(self.device, setup).kept)

    def context_needed(self, workload: Workload) -> int:
        """Return 0: a sequence beyond the context is left out, and the others are scored."""
        return 0

    def effort(self, workload: Workload) -> Effort:
        """The sequences once."""
        return Effort(sum(len(each.token_ids) for each in workload.long.sequences))

    def provenance(self, workload: Workload) -> Mapping[str, Json]:
        """The chunk of a server that tells none."""
        return {"chunk_tokens": workload.long.chunk_tokens}

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request a sequence, one after the other."""
        from pytest_gptoss.scenarios.chunked import Scoring, sequences_for

        sequences = sequences_for(self.device, setup)
        scoring = Scoring(client, self.beside)
        asks = tuple((each.id, bind(scoring.score, each)) for each in sequences.kept)
        return Job(asks, left_out=sequences.left_out)
