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

from pytest_gptoss.model.blas_threads import limited_blas
from pytest_gptoss.model.errors import DialectError, InsufficientData, StatusError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.lm_head import LmHead, read_lm_head
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import RecoveredStates
from pytest_gptoss.scenarios.hidden_positions import spread_positions
from pytest_gptoss.scenarios.hidden_recovery import Recovered, recover
from pytest_gptoss.scenarios.job import Job, bind
from pytest_gptoss.scenarios.logprob_counts import (
    fewest_logprobs,
    logprobs_to_ask,
    why_too_few_logprobs,
    why_unknown_ids,
)

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.client.next_logprobs import NextLogprobs
    from pytest_gptoss.scenarios.sequences import Sequences

__all__ = ["Recovery", "StateRecovery", "recovery_job"]

_REFUSED = 400
_SOLVING = 2
"""Positions of a device in hand at once: one is asked for while another is solved for."""


@dataclass(frozen=True)
class Recovery:
    """How hidden states are recovered: with which checkpoint, at how many positions, and of whom.

    ``positions`` counts those of all sequences; ``devices`` are names.
    """

    lm_head: Path
    positions: int
    devices: frozenset[str]


class StateRecovery:
    """Asks one server for states, one request at a time; the next one is asked while one is solved for.

    A salt of its own keeps what other runs have left in the server's prefix cache away.
    """

    def __init__(self, client: VllmClient, head: LmHead) -> None:
        self._client, self._head = client, head
        self._cache_salt = uuid.uuid4().hex
        self._count: int | None = None
        self._asking = asyncio.Lock()

    async def states(self, sequence: TokenSequence, positions: tuple[int, ...]) -> RecoveredStates:
        """The states at ``positions`` of a sequence.

        Raises RequestError where the server does not answer, or gives too few log-probabilities.
        """
        found = [await self._state(sequence.token_ids, position) for position in positions]
        return RecoveredStates(
            sequence.id,
            sequence.token_ids,
            np.array([each.state for each in found], dtype=np.float32),
            tuple(each.fit for each in found),
        )

    async def _state(self, token_ids: tuple[int, ...], position: int) -> Recovered:
        async with self._asking:
            given = await self._logprobs(token_ids[: position + 1])
        # In a thread: servers are asked meanwhile.
        return await asyncio.to_thread(self._solve, given, position)

    def _solve(self, given: NextLogprobs, position: int) -> Recovered:
        with limited_blas(1):
            try:
                rows = self._head.rows(given.ids)
                return recover(rows, given.logprobs, self._head.norm, position=position)
            except InsufficientData as error:
                raise DialectError(error.args[0]) from None

    async def _logprobs(self, prefix: tuple[int, ...]) -> NextLogprobs:
        """As many as the server gives: the usual count, or the fewest that will do."""
        hidden = self._head.hidden
        usual = min(logprobs_to_ask(hidden), self._head.vocabulary)
        counts = (usual, fewest_logprobs(hidden)) if self._count is None else (self._count,)
        refused = ""
        for count in counts:
            try:
                given = await self._client.next_logprobs(prefix, count=count, cache_salt=self._cache_salt)
            except StatusError as error:
                if error.status != _REFUSED:
                    raise
                refused = str(error)
                continue
            unfit = why_too_few_logprobs(len(given.ids), hidden) or why_unknown_ids(given.ids, self._head)
            if unfit is not None:
                raise DialectError(unfit)
            self._count = count
            return given
        raise DialectError(
            say(
                "a hidden state of size {hidden} takes {needed} log-probabilities a position: serve with "
                "--max-logprobs {asked} ({refused})",
                hidden=hidden,
                needed=fewest_logprobs(hidden),
                asked=usual,
                refused=refused,
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
    return Job(asks, concurrency=_SOLVING, left_out=left_out)
