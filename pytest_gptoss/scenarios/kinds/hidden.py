"""Hidden states of the fixed token sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.results import HiddenStates, RecoveredStates
from pytest_gptoss.scenarios.context_budget import scored
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.hidden_positions import spread_positions
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.sequences import Sequences, corpus_sequences

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.scenarios.job import Setup
    from pytest_gptoss.scenarios.state_recovery import Recovery
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Hidden"]


@dataclass(frozen=True, slots=True)
class Hidden(Scenario):
    """Last-layer hidden states (after the final norm) of the fixed token sequences.

    From ``/pooling``, of every token; or recovered from log-probabilities, at some positions.
    """

    word = "hidden"
    item_classes = (HiddenStates, RecoveredStates)
    hidden_source = True

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device

    @classmethod
    def named(cls, name: str) -> Hidden | None:
        """The record that a name tells whole."""
        return cls(name)

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} hidden states"

    def size(self, setup: Setup) -> int:
        """One step a sequence: one request, or where states are recovered one for each of its positions."""
        kept, recovery = self._sequences(setup).kept, self._recovery(setup)
        if recovery is None:
            return len(kept)
        positions = spread_positions(setup.workload.corpus, recovery.positions)
        return sum(each.id in positions for each in kept)

    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest sequence, and one more."""
        return scored(workload.corpus)

    def effort(self, workload: Workload) -> Effort:
        """The sequences once; states recovered from log-probabilities cost more."""
        return Effort(sum(len(each.token_ids) for each in workload.corpus))

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """A request a sequence, or one a position where states are recovered."""
        sequences, recovery = self._sequences(setup), self._recovery(setup)
        if recovery is not None:
            # Imported here: it asks servers, and judging imports this record.
            from pytest_gptoss.scenarios.state_recovery import recovery_job

            return recovery_job(recovery, setup.workload.corpus, sequences, client)
        asks = tuple((each.id, bind(client.hidden, each.token_ids, each.id)) for each in sequences.kept)
        return Job(asks, left_out=sequences.left_out)

    def _sequences(self, setup: Setup) -> Sequences:
        return corpus_sequences(setup.workload.corpus, context=setup.devices[self.device].max_model_len)

    def _recovery(self, setup: Setup) -> Recovery | None:
        found = setup.recovery
        return found if found is not None and self.device in found.devices else None
