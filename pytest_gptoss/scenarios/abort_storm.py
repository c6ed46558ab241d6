"""A storm of aborted requests, and the answers of canaries that are asked in the midst of it.

The streams come in waves. Once half of a wave has been left, and with it as many slots of the server, the
canaries are asked at once, while the other half is still answered and left. What a server keeps of a request
that is gone is then beside, or under, a canary.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds.storm import (
    ANSWER_TOKENS,
    AT_ONCE,
    BEFORE,
    CANARIES,
    CANARY,
    PROMPT_TOKENS,
    STREAM,
    STREAMS,
)
from pytest_gptoss.scenarios.quiet_scoring import Deadline
from pytest_gptoss.scenarios.stress_prompts import Material, material
from pytest_gptoss.scenarios.told_answers import ToldAnswer, ToldScoring, why_too_long

__all__ = ["AbortStormRun", "Stream", "left", "streams"]

LATEST = 16
"""A stream is left after 1 to so many tokens."""
MOST_TOKENS = 512
"""Most tokens of a stream: it must not end before it is left."""
STEP = 16
"""By so many tokens of prose each stream's prompt begins later than the one before."""
SEED = 64


@dataclass(frozen=True, slots=True)
class Stream:
    """A request that is left once so many tokens have come."""

    name: str
    prompt: tuple[int, ...]
    after: int
    most: int


@dataclass
class AbortStormRun:
    """Asks and scores on one device; ``longest`` is the most tokens that may be scored at once."""

    device: Device
    longest: int
    alone: Alone
    scoring: ToldScoring = field(init=False)

    def __post_init__(self) -> None:
        self.scoring = ToldScoring(self.alone.on_end)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why nothing can be asked; or which streams were not left, and which answers not scored."""
        too_long = why_too_long(
            "prompts",
            prompt=PROMPT_TOKENS,
            answer=ANSWER_TOKENS,
            context=self.device.max_model_len,
            longest=self.longest,
        )
        return too_long or self.scoring.left_out

    @property
    def items(self) -> tuple[StressAnswer, ...]:
        """What was scored so far."""
        return tuple(self.scoring.answers)

    def measure(self) -> None:
        """Raise the storm, and score; raises RequestError."""
        run_async(self._measure())

    async def _measure(self) -> None:
        deadline = Deadline()
        async with self.alone.make_client() as client:
            tokens = CANARIES * PROMPT_TOKENS + STREAMS * STEP + PROMPT_TOKENS
            found = await material(client, tokens=tokens, able=self.device.capabilities)
            canaries = [found.prompt(tokens=PROMPT_TOKENS, at=at * PROMPT_TOKENS) for at in range(CANARIES)]
            told = [await _canary(client, BEFORE, 0, place, each) for place, each in enumerate(canaries)]
            waves = streams(found, context=self.device.max_model_len)
            for number, first in enumerate(range(0, STREAMS, AT_ONCE)):
                wave = waves[first : first + AT_ONCE]
                if deadline.is_over:
                    self.scoring.left_out.update({each.name: deadline.words for each in wave})
                    continue
                told += await self._wave(client, number, wave, canaries)
            told += await _together(client, STREAMS // AT_ONCE, canaries)
            await self.scoring.score(client, told, deadline)

    async def _wave(
        self, client: VllmClient, number: int, wave: Sequence[Stream], canaries: Sequence[tuple[int, ...]]
    ) -> list[ToldAnswer]:
        """Open the streams, ask the canaries once half of them are left; returns the canaries' answers."""
        half = asyncio.Event()
        ended = 0

        async def leave(stream: Stream) -> None:
            nonlocal ended
            if not await left(client, stream):
                self.scoring.left_out[stream.name] = say("the answer ended before it was left")
            self.alone.on_end()
            ended += 1
            if 2 * ended >= len(wave):
                half.set()

        async def ask() -> list[ToldAnswer]:
            await half.wait()
            return await _together(client, number, canaries)

        asked = asyncio.ensure_future(ask())
        opened = asyncio.gather(*(leave(each) for each in wave))
        try:
            await asyncio.gather(opened, asked)
        finally:
            opened.cancel()
            asked.cancel()
        return asked.result()


async def left(client: VllmClient, stream: Stream) -> bool:
    """Whether the request could be left in mid-stream, as soon as enough tokens had come.

    Raises RequestError when it fails before.
    """

    def arrived(count: int) -> None:
        if count >= stream.after:
            request.cancel()

    request = asyncio.ensure_future(client.run_on(stream.prompt, max_tokens=stream.most, arrived=arrived))
    try:
        await asyncio.wait({request})
    finally:
        request.cancel()
    if request.cancelled():
        return True
    request.result()
    return False


def streams(found: Material, *, context: int | None) -> tuple[Stream, ...]:
    """The streams, each with a prompt of its own, to be left after a number of tokens drawn by seed."""
    source = Random(SEED)  # noqa: S311 - no secret
    most = min(MOST_TOKENS, (context or MOST_TOKENS + PROMPT_TOKENS) - PROMPT_TOKENS)
    begin = CANARIES * PROMPT_TOKENS
    return tuple(
        Stream(
            f"{STREAM}-{number:02d}",
            found.prompt(tokens=PROMPT_TOKENS, at=begin + number * STEP),
            source.randint(1, LATEST),
            most,
        )
        for number in range(STREAMS)
    )


async def _together(client: VllmClient, number: int, canaries: Sequence[tuple[int, ...]]) -> list[ToldAnswer]:
    """The canaries' answers, all asked at once, for the time that ``number`` says."""
    return list(
        await asyncio.gather(
            *(_canary(client, CANARY, number, place, each) for place, each in enumerate(canaries))
        )
    )


async def _canary(
    client: VllmClient, kind: str, number: int, place: int, prompt: tuple[int, ...]
) -> ToldAnswer:
    """One answer of a canary, whose prompt is never taken from the cache: it has to fill a slot anew."""
    name = f"{kind}-{number}-{place}"
    answer = await client.complete(
        prompt, prompt_id=name, max_tokens=ANSWER_TOKENS, top_logprobs=None, cache_salt=secrets.token_hex(8)
    )
    return ToldAnswer(name, kind, prompt, answer)
