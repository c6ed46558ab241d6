"""Where in one long text the true next token is asked for, and how: drift with length shows here first.

The text is haystack prose. The places are spots at the powers of two, a few neighbouring tokens at each,
so that the cost is that of a few prefills of the longest: shorter prefixes come first, and a server's
prefix cache carries each to the next.
"""

from __future__ import annotations

import hashlib

import numpy as np

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import DialectError, RequestTimeout
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.message import both, joined, say
from pytest_gptoss.model.results import DriftPoint
from pytest_gptoss.model.subjects import Capabilities
from pytest_gptoss.scenarios.kinds import Drift
from pytest_gptoss.scenarios.needle_prompt import opening
from pytest_gptoss.scenarios.quiet_scoring import Deadline

__all__ = ["DriftPoints", "positions", "why_not_asked"]

SHORTEST = 32
"""The first spot, in tokens."""
PER_SPOT = 16
"""Neighbouring tokens that are asked for at a spot: a mean over fewer says little."""


def positions(scenario: Drift) -> tuple[tuple[int, int], ...]:
    """(spot, position) of every token to ask for, in increasing order; a position is its prefix's length."""
    found = []
    spot = SHORTEST
    while spot <= scenario.length:
        if spot > scenario.above:
            found += [(spot, position) for position in range(spot - PER_SPOT, spot)]
        spot *= 2
    return tuple(found)


def why_not_asked(
    spot: int, *, device: str, able: Capabilities, task: NeedleTask, context: int | None
) -> str | None:
    """Why a spot is left out on a device, in a line; None when it can be asked for."""
    lacks = [name for name in ("tokenize", "token_prompts") if not getattr(able, name)]
    if lacks:
        notes = joined(able.notes[name] for name in lacks if able.notes.get(name))
        lacking = say(
            "{device} lacks {lacks}, which position drift needs",
            device=device,
            lacks=both(each.replace("_", " ") for each in lacks),
        )
        return say("{lacking}: when probed: {notes}", lacking=lacking, notes=notes) if notes else lacking
    most = min(task.max_context_len, context or task.max_context_len)
    if spot > most:
        return say("{spot} tokens do not fit the context of {most}", spot=spot, most=most)
    return None


class DriftPoints:
    """Asks one device for the true tokens of the text, one request each; ``top`` likeliest come along.

    ``length`` is the longest prefix that will be asked for, in tokens. The deadline begins with the first
    request.
    """

    def __init__(self, client: VllmClient, *, task: NeedleTask, length: int, top: int) -> None:
        self._client = client
        self._task = task
        self._length = length
        self._top = top
        self._ids: tuple[int, ...] = ()
        self._deadline: Deadline | None = None

    async def ask(self, spot: int, position: int) -> DriftPoint:
        """One point. Raises RequestError when the device does not give it, and where the time is over."""
        self._deadline = self._deadline or Deadline()
        if self._deadline.is_over:
            raise RequestTimeout(self._deadline.words)
        if not self._ids:
            self._ids = await self._text()
        asked = self._ids[: position + 1]
        prefix, token = asked[:-1], asked[-1]
        return DriftPoint(
            spot=spot,
            position=position,
            token=token,
            text_sha256=hashlib.sha256(np.array(asked, dtype="<i4").tobytes()).hexdigest(),
            logprob=await self._client.force(prefix, token, top=self._top),
        )

    async def _text(self) -> tuple[int, ...]:
        """Ids of the text, longer than what is asked for: the last would be others if it went on."""
        length = self._length
        seed = int.from_bytes(hashlib.sha256(f"{self._task.seed}/drift".encode()).digest()[:8], "big")
        text = await opening(self._task, length, seed=seed, count=self._count)
        ids = await self._client.tokenize(text)
        if len(ids) <= length:
            raise DialectError(
                say(
                    "{ids} tokens came of a text made for more than {length}: does the server cut it short?",
                    ids=len(ids),
                    length=length,
                )
            )
        return ids

    async def _count(self, text: str) -> int:
        return len(await self._client.tokenize(text))
