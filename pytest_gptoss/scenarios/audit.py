"""The audit of a load level: which of its answers are scored again, and how.

The load's own answers are audited, by the token ids that its requests ask for anyway: nothing is added to the
load. Each is given back to the device, one at a time, behind its own prompt (teacher forcing).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, RequestTiming, StressAnswer
from pytest_gptoss.scenarios.job import Alone, Setup
from pytest_gptoss.scenarios.kinds import Audit
from pytest_gptoss.scenarios.quiet_scoring import QuietScoring
from pytest_gptoss.scenarios.sequences import sort_out

__all__ = ["AuditRun", "answers_of", "drawn", "sequence_of"]


@dataclass
class AuditRun:
    """Scores the drawn answers of a stored level."""

    sequences: Sequence[TokenSequence]
    unasked: Mapping[str, str]
    scoring: QuietScoring
    alone: Alone

    @classmethod
    def of(cls, scenario: Audit, setup: Setup, alone: Alone) -> AuditRun:
        """The run of a scenario whose load level is stored."""
        device = setup.devices[scenario.device]
        levels = setup.stored(scenario.load).items
        answers = [each for level in levels for each in answers_of(level, scenario.level)]
        longest, context = setup.workload.max_scored_tokens, device.max_model_len
        sequences = sort_out(drawn(answers, seed=scenario.level), context=context, longest=longest)
        unasked = dict(sequences.left_out)
        if not answers:
            unasked[scenario.level] = say("the load level has no answer")
        return cls(sequences.kept, unasked, QuietScoring(scenario.limit, alone.on_end), alone)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why answers of the draw are not scored: those that could not be, and those for which no time was
        left. With what is scored they make up the draw; where no answer can be scored all say why.
        """
        if not self.sequences:
            return self.unasked
        wanted = self.scoring.wanted
        lacking = None if wanted is None else max(0, wanted - len(self.items))
        return dict(islice({**self.unasked, **self.scoring.left_out}.items(), lacking))

    @property
    def items(self) -> tuple[StressAnswer, ...]:
        """What was scored so far."""
        return tuple(self.scoring.answers)

    def measure(self) -> None:
        """Score the answers; raises RequestError."""
        run_async(self._score())

    async def _score(self) -> None:
        async with self.alone.make_client() as client:
            await self.scoring.score(client, self.sequences)


def answers_of(level: LoadLevel, name: str) -> Iterator[tuple[str, TokenSequence | str]]:
    """The level's answers by ``c16-0007``, or why there is none that could be scored."""
    for place, request in enumerate(level.requests):
        yield f"{name}-{place:04d}", sequence_of(request, f"{name}-{place:04d}")


def drawn(
    answers: Sequence[tuple[str, TokenSequence | str]], *, seed: str
) -> Sequence[tuple[str, TokenSequence | str]]:
    """All of them in an order by chance, the same for every run."""
    found = list(answers)
    Random(f"audit {seed}").shuffle(found)  # noqa: S311 - a sample, no secret
    return found


def sequence_of(request: RequestTiming, name: str) -> TokenSequence | str:
    """A request's answer behind its own prompt, or why there is none that could be scored."""
    if request.error is not None:
        return request.error.message
    if not request.prompt_ids or request.output_ids is None:
        return say("the server did not tell its token ids")
    if not request.output_ids:
        return say("the answer is empty")
    return TokenSequence(name, (*request.prompt_ids, *request.output_ids), first=len(request.prompt_ids))
