"""Answers to repeated canaries that a node does not confirm when asked alone: faults that come and go.

The rule is the audit's (``judge/confirmation.py``), but for what a sound answer may come to. A node whose
fault comes and goes may have it in its first round as well, so no round is taken for sound: what counts as
the node's own rounding is what a canary comes to in every round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gptoss.judge.confirmation import CONFIDENCE, Departure, allowed_beside, departure
from pytest_gptoss.judge.evidence import refuse_no_logprobs, sound_items
from pytest_gptoss.model.deficits import compared, excess
from pytest_gptoss.model.results import Measurement, StressAnswer

__all__ = ["Repeats", "found_rate", "repeats"]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How a node's ``answers`` of all rounds were confirmed: ``tokens`` compared, ``allowed`` nats each."""

    answers: int
    tokens: int
    allowed: float
    departures: Sequence[Departure]


def repeats(measured: Measurement[StressAnswer]) -> Repeats:
    """Judge a node's answers; raises InsufficientData where there are none or scores are no measurement.

    An answer's ``sequence_id`` ends in its canary's place, behind the round: ``r2-07``.
    """
    answers = sound_items(measured, "answers")
    by_canary: dict[str, list[float]] = defaultdict(list)
    for each in answers:
        refuse_no_logprobs(each.logprobs, each.top, each.sequence_id, measured.device, first=each.first)
        by_canary[each.sequence_id.partition("-")[2]].append(excess(each))
    own = max((min(rounds) for rounds in by_canary.values() if len(rounds) > 1), default=0.0)
    allowed = allowed_beside(own)
    departed = [departure(each) for each in answers if excess(each) > allowed]
    return Repeats(len(answers), sum(map(compared, answers)), allowed, departed)


def found_rate(tokens: int) -> float:
    """The rate of wrong tokens of which so many tokens would have shown one with 95%."""
    return float(1 - (1 - CONFIDENCE) ** (1 / tokens)) if tokens else 1.0
