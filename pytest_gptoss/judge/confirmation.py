"""Whether a device, asked quietly, confirms what it answered under stress: the rule of the audit.

Under teacher forcing each token of an answer has a deficit (``model/deficits.py``). Batches of other sizes
round otherwise, so near ties may fall the other way: what a deficit exceeds ``TOLERATED`` by is added up, and
the answer departs when the sum exceeds ``ALLOWED`` and twice what the device's own quiet answers come to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import refuse_no_logprobs, sound_items
from pytest_gptoss.model.deficits import LEAST_COMPARED, beyond_tolerated, deficits, excess
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.verdicts import Estimate

__all__ = [
    "ALLOWED",
    "CONFIDENCE",
    "Departure",
    "allowed",
    "allowed_beside",
    "confirmed",
    "departure",
    "excluded_share",
    "refuse_few",
]

ALLOWED = 2.0
"""Nats that an answer may come to beyond that, before it departs."""
CONFIDENCE = 0.95

Scored: TypeAlias = ScoredSequence | StressAnswer


@dataclass(frozen=True, slots=True)
class Departure:
    """The first token at which an answer is not what the quiet device would say."""

    answer: str
    index: int
    token: int
    best: int
    deficit: float
    total: float

    def row(self) -> dict[str, Json]:
        """The same for reports."""
        return {
            "answer": self.answer, "index": self.index, "token": self.token, "best": self.best,
            "deficit": self.deficit, "sum": self.total,
        }  # fmt: skip

    def told_first(self, limit: float) -> str:
        """The words for the first departure of several; ``limit``: the nats that an answer may come to."""
        return say(
            "first {answer}, from token {index} on: generated {token}, alone the likeliest is {best}, by "
            "{deficit:.3g} nat; {total:.3g} nat in all, {limit:.3g} are allowed",
            answer=self.answer,
            index=self.index,
            token=self.token,
            best=self.best,
            deficit=self.deficit,
            total=self.total,
            limit=limit,
        )


def allowed(quiet: Measurement[ScoredSequence]) -> float:
    """Nats that an answer may come to: ``ALLOWED``, or twice the largest sum of the quiet answers."""
    answers = sound_items(quiet, "answers")
    for each in answers:
        _refuse_bad(each, quiet.device)
    return allowed_beside(max(excess(each) for each in answers))


def allowed_beside(own: float) -> float:
    """Nats that an answer may come to where the device's own quiet answers come to ``own`` at most."""
    return max(ALLOWED, 2 * own)


def refuse_few(measured: Measurement[StressAnswer], unscored: Mapping[str, str]) -> None:
    """Raise InsufficientData where fewer than half of the answers were scored; ``unscored``: why by id."""
    scored, drawn = len(measured.items), len(measured.items) + len(unscored)
    if not scored or 2 * scored >= drawn:
        return
    first, why = next(iter(unscored.items()))
    raise InsufficientData(
        say(
            "{device}: {scored} of {drawn} drawn answers could be scored, fewer than half; the first that "
            "could not, {first}: {why}",
            device=measured.device,
            scored=scored,
            drawn=drawn,
            first=first,
            why=why,
        )
    )


def confirmed(
    stressed: Measurement[StressAnswer],
    quiet: Measurement[ScoredSequence],
    *,
    kind: str = "",
    drawn: int | None = None,
) -> Estimate:
    """Share of answers that the device confirms when asked quietly; no interval.

    ``kind`` takes the answers of that kind alone. Those with fewer than ``LEAST_COMPARED`` compared tokens do
    not count; raises InsufficientData where fewer than half are left, of all of them or of the ``drawn`` that
    were wanted, where for each that says too little another was scored. Details: ``answers``, ``compared``
    (tokens), ``allowed`` (nats), ``excluded`` (with all confirmed, the share of faulty answers of which the
    sample would have shown one with 95%), ``departures`` and the finding.
    """
    device = stressed.device
    of_kind = [each for each in sound_items(stressed, "answers") if each.kind == kind]
    for each in of_kind:
        _refuse_bad(each, device)
    answers = [each for each in of_kind if len(deficits(each)) >= LEAST_COMPARED]
    wanted = len(of_kind) if drawn is None else min(drawn, len(of_kind))
    if not answers or 2 * len(answers) < wanted:
        raise InsufficientData(
            say(
                "{device}: {answers} of {drawn} answers have {least} tokens or more before the model would "
                "end them, fewer than half: raise --gptoss-max-tokens or use other prompts",
                device=device,
                answers=len(answers),
                drawn=wanted,
                least=LEAST_COMPARED,
            )
        )
    limit = allowed(quiet)
    departures = [departure(each) for each in answers if excess(each) > limit]
    details: dict[str, Json] = {
        "answers": len(answers),
        "compared": sum(len(deficits(each)) for each in answers),
        "allowed": limit,
        "excluded": None if departures else excluded_share(len(answers)),
        "departures": [each.row() for each in departures],
        "finding": _finding(device, len(answers), departures, limit),
    }
    return Estimate(1 - len(departures) / len(answers), "share", len(answers), None, details)


def departure(answer: Scored) -> Departure:
    """Where an answer departs first: its first token beyond ``TOLERATED``."""
    beyond = beyond_tolerated(answer)
    index = int(np.flatnonzero(beyond)[0])
    return Departure(
        answer=answer.sequence_id,
        index=index,
        token=answer.token_ids[answer.first + index],
        best=int(answer.top.ids[index, 0]),
        deficit=float(deficits(answer)[index]),
        total=float(beyond.sum()),
    )


def excluded_share(answers: int) -> float:
    """The share of faulty answers of which a sample of so many would have shown one with 95%."""
    return float(1 - (1 - CONFIDENCE) ** (1 / answers))


def _refuse_bad(answer: Scored, device: str) -> None:
    refuse_no_logprobs(answer.logprobs, answer.top, answer.sequence_id, device, first=answer.first)


def _finding(device: str, answers: int, departures: Sequence[Departure], limit: float) -> str:
    if not departures:
        return say(
            "{device} confirms all {answers} answers: faults in {share:.1%} of them or more are excluded "
            "at 95%{allowed}",
            device=device,
            answers=answers,
            share=excluded_share(answers),
            allowed=_allowed_words(limit),
        )
    return joined(
        [
            say(
                "{device}, asked alone, does not confirm {departed} of {answers} answers",
                device=device,
                departed=len(departures),
                answers=answers,
            ),
            departures[0].told_first(limit),
        ]
    )


def _allowed_words(limit: float) -> str:
    """What an answer may come to, where the device's own quiet answers have widened it."""
    if limit <= ALLOWED:
        return ""
    return say(
        "; {limit:.3g} nat are allowed for each: twice what its own quiet answers come to",
        limit=limit,
    )
