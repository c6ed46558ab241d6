"""Hidden states of a server that serves none, recovered from its log-probabilities.

One request a position: the sequence up to there as prompt, one token generated, with very many
log-probabilities. ``hidden_recovery`` solves for the state that gives them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_gptoss.model.errors import DialectError, StatusError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.lm_head import LmHead, read_lm_head
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import RecoveredStates
from pytest_gptoss.scenarios.hidden_positions import spread_positions
from pytest_gptoss.scenarios.hidden_recovery import Recovered, fewest_logprobs, recover, usual_logprobs
from pytest_gptoss.scenarios.job import Job, bind

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.client.next_logprobs import NextLogprobs
    from pytest_gptoss.scenarios.sequences import Sequences

__all__ = ["Recovery", "StateRecovery", "recovery_job"]

_REFUSED = 400


@dataclass(frozen=True)
class Recovery:
    """How hidden states are recovered: with which checkpoint, at how many positions, and of whom.

    ``positions`` counts those of all sequences; ``devices`` are names.
    """

    lm_head: Path
    positions: int
    devices: frozenset[str]


class StateRecovery:
    """Asks one server for states. ``cache_salt`` keeps what other runs have left in its prefix cache away."""

    def __init__(self, client: VllmClient, head: LmHead) -> None:
        self._client, self._head = client, head
        self._cache_salt = uuid.uuid4().hex
        self._count: int | None = None

    async def states(self, sequence: TokenSequence, positions: tuple[int, ...]) -> RecoveredStates:
        """The states at ``positions`` of a sequence.

        Raises RequestError where the server does not answer, or gives too few log-probabilities.
        """
        found = [await self._state(sequence.token_ids[: position + 1]) for position in positions]
        return RecoveredStates(
            sequence_id=sequence.id,
            token_ids=sequence.token_ids,
            states=np.array([each.state for each in found], dtype=np.float32),
            positions=np.array(positions, dtype=np.int32),
            counts=np.array([each.count for each in found], dtype=np.int32),
            residuals=np.array([each.residual for each in found]),
            explained=np.array([each.explained for each in found]),
            conditions=np.array([each.condition for each in found]),
            mean_squares=np.array([each.mean_square for each in found]),
            doubts=np.array([each.doubt for each in found]),
        )

    async def _state(self, prefix: tuple[int, ...]) -> Recovered:
        given = await self._logprobs(prefix)
        # In a thread: the other device is asked meanwhile.
        return await asyncio.to_thread(recover, given.ids, given.logprobs, self._head)

    async def _logprobs(self, prefix: tuple[int, ...]) -> NextLogprobs:
        """As many as the server gives: the usual count, or the fewest that will do."""
        fewest = fewest_logprobs(self._head)
        counts = (usual_logprobs(self._head), fewest) if self._count is None else (self._count,)
        refused: StatusError | None = None
        for count in counts:
            try:
                given = await self._client.next_logprobs(prefix, count=count, cache_salt=self._cache_salt)
            except StatusError as error:
                if error.status != _REFUSED:
                    raise
                refused = error
                continue
            if len(given.ids) < fewest:
                raise self._too_few(say("it gave {given} of {count}", given=len(given.ids), count=count))
            self._count = count
            return given
        raise self._too_few(str(refused))

    def _too_few(self, said: str) -> DialectError:
        return DialectError(
            say(
                "hidden states of {hidden} numbers need at least {fewest} log-probabilities a token, and the "
                "server gives fewer ({said}): serve with --max-logprobs {usual}",
                hidden=self._head.hidden,
                fewest=fewest_logprobs(self._head),
                said=said,
                usual=usual_logprobs(self._head),
            )
        )


def recovery_job(
    recovery: Recovery, corpus: Sequence[TokenSequence], sequences: Sequences, client: VllmClient
) -> Job:
    """A request a position, in one item a sequence.

    Positions are spread over the whole ``corpus``, whatever part of it fits this device (``sequences``), so
    that they are the same on all. Raises UsageError where the checkpoint cannot be read.
    """
    positions = spread_positions(corpus, recovery.positions)
    server = StateRecovery(client, read_lm_head(recovery.lm_head))
    chosen = (each for each in sequences.kept if each.id in positions)
    asks = tuple((each.id, bind(server.states, each, positions[each.id])) for each in chosen)
    left_out = {name: why for name, why in sequences.left_out.items() if name in positions}
    return Job(asks, left_out=left_out)
