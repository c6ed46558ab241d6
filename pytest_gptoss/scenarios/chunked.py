"""Long sequences are scored on a device, alone or while it decodes other streams.

A server computes a prompt in chunks of ``max_num_batched_tokens``. Each stream that decodes takes one token
of every step, so that a chunk is shorter by as many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import DialectError, RequestTimeout
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.scenarios.job import Setup
from pytest_gptoss.scenarios.kinds import Preflight
from pytest_gptoss.scenarios.long_texts import MOST_SCORED, SAFE_CHUNK
from pytest_gptoss.scenarios.quiet_scoring import Deadline
from pytest_gptoss.scenarios.sequences import Sequences, corpus_sequences

__all__ = ["Scoring", "sequences_for"]

_Arrived: TypeAlias = Callable[[int], None]

STREAM_PROMPT = 32
"""Tokens of the prompt of each stream that decodes beside."""
STREAM_TOKENS = 1024
"""Most tokens that such a stream may come to before scoring has ended: enough for seconds."""


def sequences_for(device: str, setup: Setup) -> Sequences:
    """The long sequences that a device can be asked for, and why not the others."""
    context = setup.devices[device].max_model_len
    longest = _most_scored(device, setup)
    return corpus_sequences(setup.workload.long.sequences, context=context, longest=longest)


def _most_scored(device: str, setup: Setup) -> int:
    """Tokens that may be scored at once: a chunk's log-softmax must not exhaust the device's memory."""
    long = setup.workload.long
    if long.most_scored is not None:
        return long.most_scored
    servers = setup.stored(Preflight(device)).items
    chunk = long.known_chunk(device, servers[0] if servers else None)
    return MOST_SCORED if chunk is not None and chunk <= SAFE_CHUNK else setup.workload.max_scored_tokens


@dataclass(frozen=True)
class Scoring:
    """Scores sequences while ``beside`` streams decode on the same device."""

    client: VllmClient
    beside: int
    deadline: Deadline = field(default_factory=Deadline)

    async def score(self, sequence: TokenSequence) -> ScoredSequence:
        """The scores of one sequence.

        Raises RequestError, also when a stream ends before they are there and where the time is over.
        """
        if self.deadline.is_over:
            raise RequestTimeout(self.deadline.words)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        started: set[int] = set()

        def arrived(stream: int) -> None:
            started.add(stream)
            if len(started) == self.beside and not begun.done():
                begun.set_result(None)

        numbers = range(self.beside)
        streams = [asyncio.ensure_future(self._decode(sequence, each, arrived)) for each in numbers]
        try:
            if streams:
                await asyncio.wait([begun, *streams], return_when=asyncio.FIRST_COMPLETED)
                await _refuse_ended(streams)
            scored = await self.client.score(sequence, top=1)
            await _refuse_ended(streams)
        finally:
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        return scored

    async def _decode(self, sequence: TokenSequence, stream: int, arrived: _Arrived) -> None:
        # Prompts that differ in their first token share no cached block.
        prompt = sequence.token_ids[stream : stream + STREAM_PROMPT]
        await self.client.run_on(prompt, max_tokens=STREAM_TOKENS, arrived=lambda _: arrived(stream))


async def _refuse_ended(streams: Sequence[asyncio.Future[None]]) -> None:
    """Raise RequestError for a stream that ended already."""
    for stream in streams:
        if stream.done():
            await stream  # raises what ended it
            raise DialectError(
                say(
                    "a stream of {most} tokens ended before the prompt beside it was scored: does the server "
                    "heed ignore_eos?",
                    most=STREAM_TOKENS,
                )
            )
