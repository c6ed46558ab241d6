"""What a device would have chosen at each position of the baseline's answers (teacher forcing).

Free-running answers part at the first near tie and say nothing of what follows. Here every position is
compared behind the same prefix, so that two sound devices whose rounding differs agree almost everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import (
    answer_ids,
    by_id,
    refuse_bad_scores,
    refuse_sameness,
    refuse_short_lists,
)
from pytest_gptoss.judge.intervals import bootstrap_mean, bootstrap_ratio, wilson
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence
from pytest_gptoss.model.verdicts import FORCED, Estimate

__all__ = ["Answer", "either", "forced_answers", "forced_match", "forced_rouge"]

_Ids: TypeAlias = tuple[int, ...]
Score: TypeAlias = Callable[[_Ids, _Ids], float]
"""ROUGE-L F of (reference ids, ids)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the baseline's answers and, at each of its positions, the device's most likely token."""

    sequence_id: str
    baseline: _Ids
    chosen: _Ids

    @property
    def equal(self) -> int:
        """Positions at which both are the same token."""
        return sum(ours == theirs for ours, theirs in zip(self.chosen, self.baseline, strict=True))


def forced_answers(scores: Measurement[ScoredSequence], baseline: Measurement[Generation]) -> list[Answer]:
    """Read the device's scores of the baseline's answers.

    Raises InsufficientData where scores or lists are missing, where they are of other tokens than the
    baseline's answers, and where these could not tell two devices apart.
    """
    theirs = {each.prompt_id: answer_ids(each, baseline) for each in baseline.items}
    refuse_sameness(theirs, baseline.device)
    items = by_id(scores, "sequences")
    for sequence_id, item in items.items():
        refuse_bad_scores(item, scores.device)
        refuse_short_lists(item, scores.device)
        if item.token_ids[item.first :] != theirs.get(sequence_id):
            raise InsufficientData(
                say(
                    "{device}: what it scored as {sequence_id} is not {baseline}'s answer: measure both in "
                    "one run, or record the baseline again",
                    device=scores.device,
                    sequence_id=sequence_id,
                    baseline=baseline.device,
                )
            )
    return [
        Answer(key, item.token_ids[item.first :], tuple(item.top.ids[:, 0].tolist()))
        for key, item in items.items()
    ]


def forced_match(answers: Sequence[Answer], left_out: Mapping[str, str]) -> Estimate:
    """Share of positions at which the device's most likely token is the baseline's, all prompts pooled.

    n prompts; BCa bootstrap over prompts, or Wilson's interval over the positions where all prompts agree
    alike. ``left_out``: answers that were not scored, and why.
    """
    equal = [each.equal for each in answers]
    lengths = [len(each.baseline) for each in answers]
    interval = bootstrap_ratio(equal, lengths) or wilson(sum(equal), sum(lengths))
    details: dict[str, Json] = {
        "forced_positions": sum(lengths),
        "forced_differ": sum(lengths) - sum(equal),
        "forced_left_out": dict(left_out),
    }
    if sum(equal) < sum(lengths):
        worst = min(answers, key=lambda each: each.equal / len(each.baseline))
        details["finding"] = say(
            "{differ} of {positions} positions differ under teacher forcing, most in {sequence_id} with "
            "{equal} of {length} equal",
            differ=sum(lengths) - sum(equal),
            positions=sum(lengths),
            sequence_id=worst.sequence_id,
            equal=worst.equal,
            length=len(worst.baseline),
        )
    return Estimate(sum(equal) / sum(lengths), "share", len(answers), interval, details)


def forced_rouge(answers: Sequence[Answer], left_out: Mapping[str, str], score: Score) -> Estimate:
    """Mean over prompts of ROUGE-L F over token ids; n prompts, BCa bootstrap over prompts.

    ``left_out``: answers that were not scored, and why.
    """
    values = np.array([score(each.baseline, each.chosen) for each in answers])
    details: dict[str, Json] = {"forced_min": float(values.min()), "forced_left_out": dict(left_out)}
    if values.min() < 1:
        worst = answers[int(values.argmin())].sequence_id
        details["finding"] = say(
            "{differ} of {answers} answers differ under teacher forcing, most in {worst} with ROUGE-L "
            "{score:.3f}",
            differ=int((values < 1).sum()),
            answers=len(values),
            worst=worst,
            score=float(values.min()),
        )
    return Estimate(float(values.mean()), "F", len(values), bootstrap_mean(values), details)


def either(
    statistic: str, *, free: tuple[str, Callable[[], Estimate]], forced: Callable[[], Estimate] | None
) -> Estimate:
    """The estimate of ``statistic``, with the figure of the other one beside it.

    ``free`` is its statistic's name and how to compute it; ``forced`` None: there is nothing to compare under
    teacher forcing. The figure beside stands in the details as ``beside``: its ``statistic``, ``value``,
    ``n`` and ``interval``, or ``reason`` where there is none. Raises InsufficientData as the chosen one does,
    with the other figure in the message where there is one.
    """
    name, compute = free
    if forced is None:
        return compute()
    chosen, other_name, other = (forced, name, compute) if statistic == FORCED else (compute, FORCED, forced)
    try:
        estimate = chosen()
    except InsufficientData as error:
        raise InsufficientData(_with_other(str(error), other_name, other)) from None
    try:
        beside = other()
    except InsufficientData as error:
        told: dict[str, Json] = {"statistic": other_name, "value": None, "reason": str(error)}
        return replace(estimate, details={**estimate.details, "beside": told})
    told = {
        "statistic": other_name,
        "value": beside.value,
        "n": beside.n,
        "interval": None if beside.interval is None else list(beside.interval),
    }
    without_finding = {key: each for key, each in beside.details.items() if key != "finding"}
    return replace(estimate, details={**without_finding, **estimate.details, "beside": told})


def _with_other(reason: str, name: str, compute: Callable[[], Estimate]) -> str:
    """Why a row has no figure, and the figure of its other statistic where that has one."""
    try:
        value = compute().value
    except InsufficientData:
        return reason
    if name == FORCED:
        return say("{reason}; under teacher forcing {value:.4g} (not gated)", reason=reason, value=value)
    return say("{reason}; of free answers {value:.4g} (not gated)", reason=reason, value=value)
