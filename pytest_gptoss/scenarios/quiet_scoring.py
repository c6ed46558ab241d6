"""Answers that a device gave under stress, scored by the same device one at a time, with nothing beside."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.deficits import LEAST_COMPARED, compared, excess
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import StressAnswer

__all__ = ["MOST_S", "Deadline", "OnceScored", "QuietScoring", "stress_answer"]

TOP = 2
"""Likeliest tokens that are asked for: with one alone, a sure model's answers look like a constant's."""
MOST_S = 600.0
"""Longest that the answers of one row are scored, in seconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The most that a row may take, in seconds, from the making of this on."""

    most_s: float = MOST_S
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be asked."""
        return time.monotonic() > self.started + self.most_s

    @property
    def words(self) -> str:
        """Why something was not asked."""
        return say("no time was left: {seconds:g} s is the most", seconds=self.most_s)


@dataclass
class QuietScoring:
    """Scores answers until ``wanted`` of them can be compared; None: all are scored.

    ``answers`` holds what was scored so far, also after an interruption. ``left_out`` says why answers were
    not scored, by their ids.
    """

    wanted: int | None
    on_end: Callable[[], None]
    most_s: float = MOST_S
    answers: list[StressAnswer] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    _usable: int = 0

    async def score(self, client: VllmClient, sequences: Iterable[TokenSequence]) -> None:
        """Score them in their order; raises RequestError."""
        deadline = Deadline(self.most_s)
        for sequence in self._still_wanted(sequences):
            if deadline.is_over:
                self.left_out[sequence.id] = deadline.words
                continue
            answer = await stress_answer(client, sequence)
            self.answers.append(answer)
            self._usable += compared(answer) >= LEAST_COMPARED
            self.on_end()

    def _still_wanted(self, sequences: Iterable[TokenSequence]) -> Iterator[TokenSequence]:
        for sequence in sequences:
            if self.wanted is not None and self._usable >= self.wanted:
                return
            yield sequence


@dataclass
class OnceScored:
    """Scores answers, equal ones once, with the ``top`` likeliest tokens at each position.

    An answer that the device does not confirm at once is scored a second time, and the better scoring counts.
    Else one fault in the scoring of an answer that comes again and again would pass for the device's own
    rounding, beside which nothing else departs.
    """

    top: int = TOP
    _scored: dict[tuple[int, ...], StressAnswer] = field(default_factory=dict)

    async def answer(self, client: VllmClient, sequence: TokenSequence) -> StressAnswer:
        """One answer, scored; raises RequestError. ``sequence`` scores the answer's positions only."""
        ids = sequence.token_ids
        if ids not in self._scored:
            scored = await stress_answer(client, sequence, top=self.top)
            if excess(scored) > 0:
                again = await stress_answer(client, sequence, top=self.top)
                scored = min(scored, again, key=excess)
            self._scored[ids] = scored
        return dataclasses.replace(self._scored[ids], sequence_id=sequence.id)


async def stress_answer(
    client: VllmClient,
    sequence: TokenSequence,
    *,
    top: int = TOP,
    server: Mapping[str, float] | None = None,
) -> StressAnswer:
    """One answer, scored; raises RequestError. ``sequence`` scores the answer's positions only."""
    scored = await client.score(sequence, top=top)
    return StressAnswer(
        sequence_id=sequence.id,
        token_ids=scored.token_ids,
        first=scored.first,
        logprobs=scored.logprobs,
        top=scored.top,
        server=server,
    )
