"""The answers of a node's rounds of canaries, each scored by the node itself behind its own prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.audit import sequence_of
from pytest_gptoss.scenarios.canary_round import place_of
from pytest_gptoss.scenarios.job import Job, Setup, bind
from pytest_gptoss.scenarios.kinds import CanaryAnswers
from pytest_gptoss.scenarios.kinds.canaryanswers import answer_id
from pytest_gptoss.scenarios.quiet_scoring import OnceScored
from pytest_gptoss.scenarios.sequences import sort_out

__all__ = ["answers_job"]

TOP = 5
"""Likeliest tokens that are asked for: a near tie is told by both tokens' log-probabilities."""


def answers_job(scenario: CanaryAnswers, setup: Setup, client: VllmClient) -> Job:
    """One answer after the other; answers that did not come are left out."""
    found = sort_out(
        _answers(scenario, setup),
        context=setup.devices[scenario.device].max_model_len,
        longest=setup.workload.max_scored_tokens,
    )
    scoring = _Scoring(client)
    asks = tuple((each.id, bind(scoring.score, each)) for each in found.kept)
    return Job(asks, left_out=found.left_out)


@dataclass
class _Scoring:
    client: VllmClient
    once: OnceScored = field(default_factory=lambda: OnceScored(TOP))

    async def score(self, sequence: TokenSequence) -> StressAnswer:
        kind = sequence.id.partition("-")[0]
        return dataclasses.replace(await self.once.answer(self.client, sequence), kind=kind)


def _answers(scenario: CanaryAnswers, setup: Setup) -> Iterator[tuple[str, TokenSequence | str]]:
    """Every answer of every round by its id, or why there is none."""
    for each in scenario.depends_on:
        levels = setup.stored(each).items
        requests = {place_of(request): request for level in levels for request in level.requests}
        for place in range(each.size(setup)):
            name = answer_id(each.round, place)
            if place in requests:
                yield name, sequence_of(requests[place], name)
            else:
                yield name, say("the round ended before it was asked")
