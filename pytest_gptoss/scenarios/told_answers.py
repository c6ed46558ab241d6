"""Answers that were given under stress, scored by the same device when nothing else is asked of it.

As ``quiet_scoring``, for answers of several kinds, many of which are equal: those are scored once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, StressAnswer
from pytest_gptoss.scenarios.quiet_scoring import Deadline, OnceScored
from pytest_gptoss.scenarios.sequences import sort_out

__all__ = ["ToldAnswer", "ToldScoring", "why_too_long"]


@dataclass(frozen=True, slots=True)
class ToldAnswer:
    """One answer as it came: its prompt's ids, its kind, and the prompt tokens that came from a cache."""

    id: str
    kind: str
    prompt: tuple[int, ...]
    answer: Generation
    cached_tokens: int | None = None


@dataclass
class ToldScoring:
    """Scores answers: ``answers`` has what was scored so far, ``left_out`` why others were not, by id."""

    on_end: Callable[[], None]
    answers: list[StressAnswer] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    _once: OnceScored = field(default_factory=OnceScored)

    async def score(self, client: VllmClient, told: Iterable[ToldAnswer], deadline: Deadline) -> None:
        """Score them in their order; raises RequestError."""
        for each in told:
            why_not = _unusable(each.answer) or (deadline.words if deadline.is_over else None)
            if why_not is None:
                self.answers.append(await self._answer(client, each))
            else:
                self.left_out[each.id] = why_not
            self.on_end()

    async def _answer(self, client: VllmClient, told: ToldAnswer) -> StressAnswer:
        """The answer with its scores; equal ones are asked for once."""
        ids = (*told.prompt, *(told.answer.token_ids or ()))
        scored = await self._once.answer(client, TokenSequence(told.id, ids, first=len(told.prompt)))
        return dataclasses.replace(
            scored,
            kind=told.kind,
            generated=told.answer.logprobs,
            cached_tokens=told.cached_tokens,
        )


def why_too_long(
    name: str, *, prompt: int, answer: int, context: int | None, longest: int
) -> Mapping[str, str]:
    """Why prompts and answers of so many tokens cannot be scored, by ``name``; empty where they can."""
    ids = (0,) * (prompt + answer)
    return sort_out(
        [(name, TokenSequence(name, ids, first=prompt))], context=context, longest=longest
    ).left_out


def _unusable(answer: Generation) -> str | None:
    if answer.token_ids is None:
        return say("the server did not tell its token ids")
    return None if answer.token_ids else say("the answer is empty")
