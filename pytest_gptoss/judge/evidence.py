"""What may be judged at all: measurements that are whole, and pairs of them that match.

Everything here raises InsufficientData where a figure would rest on less than it says.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import (
    Generation,
    HiddenStates,
    Measurement,
    RecoveredStates,
    ScoredSequence,
    TopLogprobs,
)
from pytest_gptoss.model.sentinels import filler, no_logprobs, why_no_logprob

__all__ = [
    "TOP",
    "answer_ids",
    "by_id",
    "cut_to",
    "first_difference",
    "item_id",
    "pair",
    "probed",
    "refuse_bad_scores",
    "refuse_no_logprobs",
    "refuse_other_tokens",
    "refuse_sameness",
    "refuse_short_lists",
    "scored_pairs",
    "sound_items",
]

TOP = 20
"""Likeliest tokens of a position that are compared one by one; vLLM lists no more by default."""

_WORDS: Mapping[str, str] = {
    each: each
    for each in (
        say("answers"), say("levels"), say("probes"), say("prompts"), say("questions"), say("requests"),
        say("sequences"), say("servers"), say("trials"),
    )
}  # fmt: skip
"""What is measured, as messages call it."""

Identified: TypeAlias = Generation | ScoredSequence | HiddenStates | RecoveredStates
Forced: TypeAlias = ScoredSequence | HiddenStates | RecoveredStates
Item = TypeVar("Item")
Left = TypeVar("Left", bound=Identified)
Right = TypeVar("Right", bound=Identified)


def item_id(item: Identified) -> str:
    """Return the prompt's or the sequence's id."""
    return item.prompt_id if isinstance(item, Generation) else item.sequence_id


def sound_items(measurement: Measurement[Item], what: str) -> tuple[Item, ...]:
    """Return the items of a measurement from which nothing is missing.

    ``what`` names them in the message: "prompts", "sequences". Raises InsufficientData when some
    failed, when measuring stopped early, or when there are none.
    """
    device, items, failures = measurement.device, measurement.items, measurement.failures
    if failures:
        first = failures[0]
        if first.item_id == "*":  # the scenario as a whole could not be had: its message says all
            raise InsufficientData(first.message)
        early = "" if measurement.complete else say(", then measuring stopped")
        raise InsufficientData(
            say(
                "{device}: {failures} of {items} {what} failed{early}; first {item_id}: {kind}: {message}",
                device=device,
                failures=len(failures),
                items=len(items) + len(failures),
                what=_WORDS.get(what, what),
                early=early,
                item_id=first.item_id,
                kind=first.kind,
                message=first.message,
            )
        )
    if not measurement.complete:
        raise InsufficientData(
            say(
                "{device}: measuring stopped after {items} {what}: measure again, to the end",
                device=device,
                items=len(items),
                what=_WORDS.get(what, what),
            )
        )
    if not items:
        raise InsufficientData(
            say(
                "{device}: no {what} to judge{left_out}",
                device=device,
                what=_WORDS.get(what, what),
                left_out=_why_left_out(measurement.left_out),
            )
        )
    return items


def pair(left: Measurement[Left], right: Measurement[Right], what: str) -> list[tuple[Left, Right]]:
    """Items of two sound measurements, matched by id, in the order of ``right``.

    Raises InsufficientData when the two do not hold the same ids.
    """
    theirs, ours = by_id(right, what), by_id(left, what)
    _refuse_missing(ours.keys() - theirs.keys(), of=left, lacking=right, what=what)
    _refuse_missing(theirs.keys() - ours.keys(), of=right, lacking=left, what=what)
    return [(ours[key], item) for key, item in theirs.items()]


def probed(measurement: Measurement[Any], capability: str, advice: str) -> str:
    """Return what the device answered when it was tried for a capability, or ``advice`` if that is not known.

    The server's own words say more than any advice: a 400 may have another reason than the usual one.
    """
    notes = measurement.provenance.get("lacks")
    note = notes.get(capability) if isinstance(notes, Mapping) else None
    return say("when probed: {note}", note=note) if isinstance(note, str) and note else advice


def cut_to(whole: Measurement[Left], part: Measurement[Right]) -> Measurement[Left]:
    """``whole`` with only those items that ``part`` was asked for too.

    So one measurement of all sequences also serves the comparison on the first few.
    """
    asked = {item_id(item) for item in part.items}
    return dataclasses.replace(whole, items=tuple(item for item in whole.items if item_id(item) in asked))


def scored_pairs(
    left: Measurement[ScoredSequence], right: Measurement[ScoredSequence]
) -> list[tuple[ScoredSequence, ScoredSequence]]:
    """Pairs of equal sequences, scored at equal positions with finite log-probabilities.

    Raises InsufficientData otherwise.
    """
    pairs = pair(left, right, "sequences")
    refuse_other_tokens(pairs, left.device, right.device)
    for ours, theirs in pairs:
        refuse_bad_scores(ours, left.device)
        refuse_bad_scores(theirs, right.device)
        if ours.first != theirs.first:
            raise InsufficientData(
                say(
                    "{sequence_id}: {left} scored from position {left_first}, {right} from "
                    "{right_first}: measure both from the same sequences",
                    sequence_id=ours.sequence_id,
                    left=left.device,
                    left_first=ours.first,
                    right=right.device,
                    right_first=theirs.first,
                )
            )
    return pairs


def refuse_other_tokens(
    pairs: Iterable[tuple[Forced, Forced]],
    left: str,
    right: str,
) -> None:
    """Raise InsufficientData unless both devices were given the same token ids in every pair."""
    for ours, theirs in pairs:
        if ours.token_ids != theirs.token_ids:
            at = first_difference(ours.token_ids, theirs.token_ids)
            raise InsufficientData(
                say(
                    "{sequence_id}: {left} and {right} were given different tokens, first at "
                    "position {at}: measure both from the same sequences",
                    sequence_id=ours.sequence_id,
                    left=left,
                    right=right,
                    at=at,
                )
            )


def answer_ids(answer: Generation, measurement: Measurement[Any]) -> tuple[int, ...]:
    """Return the answer's token ids; raise InsufficientData when the server withholds them.

    ``measurement`` is the one that the answer belongs to.
    """
    if answer.token_ids is None:
        advice = probed(measurement, "token_ids", say("serve with a vLLM that knows return_token_ids"))
        raise InsufficientData(
            say(
                "{device} withholds the token ids of its answers (first {prompt_id}): {advice}",
                device=measurement.device,
                prompt_id=answer.prompt_id,
                advice=advice,
            )
        )
    return answer.token_ids


def refuse_no_logprobs(
    logprobs: FloatArray, top: TopLogprobs | None, item: str, device: str, *, first: int = 0
) -> None:
    """Raise InsufficientData for log-probabilities that are no measurement, with what the server sent.

    ``item`` is what they are of, for the message; ``first`` is the position of the first one.
    """
    bad = np.flatnonzero(no_logprobs(logprobs))
    if bad.size:
        value = float(logprobs[bad[0]])
        raise InsufficientData(
            say(
                "{device}: {count} log-probabilities of {item} are none, the first is {value:.6g} "
                "at position {first}: {why}",
                device=device,
                count=bad.size,
                item=item,
                value=value,
                first=first + int(bad[0]),
                why=why_no_logprob(value),
            )
        )
    value_of_all = filler(logprobs, top)
    if value_of_all is not None:
        raise InsufficientData(
            say(
                "{device} sent {value_of_all:.6g} as the log-probability of all {size} tokens of "
                "{item} and no alternatives that differ: that is no measurement; serve with "
                "logprobs computed, or waive the rows that need them",
                device=device,
                value_of_all=value_of_all,
                size=logprobs.size,
                item=item,
            )
        )


def refuse_short_lists(item: ScoredSequence, device: str) -> None:
    """Raise InsufficientData where a position has no two likeliest tokens, or one of no finite value."""
    rows, width = item.top.ids.shape
    if rows != len(item.logprobs) or width < 2 or (item.top.ids[:, :2] < 0).any():
        raise InsufficientData(
            say(
                "{device}: {sequence_id} lacks the likeliest tokens of some positions: the "
                "server must allow prompt_logprobs of {top} (--max-logprobs {top})",
                device=device,
                sequence_id=item.sequence_id,
                top=TOP,
            )
        )
    if not np.isfinite(item.top.logprobs[item.top.ids >= 0]).all():
        raise InsufficientData(
            say(
                "{device}: {sequence_id} lists log-probabilities that are not finite: look for "
                "NaN in the server's log",
                device=device,
                sequence_id=item.sequence_id,
            )
        )


def refuse_sameness(answers: Mapping[str, Hashable], device: str) -> None:
    """Raise InsufficientData when answers (by prompt id) could not tell two devices apart.

    That is: every answer is empty, or there are several and all are the same.
    """
    values = set(answers.values())
    if not any(values):
        raise InsufficientData(
            say(
                "{device}: every one of {answers} answers is empty, agreement with them proves "
                "nothing: check the prompts, max_tokens and the server's log",
                device=device,
                answers=len(answers),
            )
        )
    if len(answers) > 1 and len(values) == 1:
        raise InsufficientData(
            say(
                "{device}: all {answers} answers are the same, agreement with them proves "
                "nothing: check this server, or use other prompts",
                device=device,
                answers=len(answers),
            )
        )


def first_difference(left: Sequence[int] | str, right: Sequence[int] | str) -> int:
    """First position where two sequences differ; the shorter one's length when it begins the other."""
    shorter = min(len(left), len(right))
    return next((index for index in range(shorter) if left[index] != right[index]), shorter)


def by_id(measurement: Measurement[Left], what: str) -> dict[str, Left]:
    """Items of a sound measurement by their ids; raises InsufficientData, also where an id stands twice."""
    items = sound_items(measurement, what)
    counts = Counter(item_id(item) for item in items)
    repeated = next((key for key, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise InsufficientData(
            say(
                "{device}: {repeated} stands twice among the {what}",
                device=measurement.device,
                repeated=repeated,
                what=_WORDS.get(what, what),
            )
        )
    return {item_id(item): item for item in items}


def _refuse_missing(
    ids: Iterable[str], *, of: Measurement[Any], lacking: Measurement[Any], what: str
) -> None:
    missing = sorted(ids)
    if missing:
        first = missing[0]
        why = lacking.left_out.get(first, say("measure both from the same inputs"))
        raise InsufficientData(
            say(
                "{missing} {what} of {device} are not among those of {other}; first {first}: {why}",
                missing=len(missing),
                what=_WORDS.get(what, what),
                device=of.device,
                other=lacking.device,
                first=first,
                why=why,
            )
        )


def refuse_bad_scores(item: ScoredSequence, device: str) -> None:
    """Raise InsufficientData for a sequence that is not scored whole, or whose scores are no measurement."""
    scored = len(item.token_ids) - item.first
    if item.first < 1 or scored < 1 or len(item.logprobs) != scored:
        raise InsufficientData(
            say(
                "{device}: {sequence_id} has {logprobs} scores for positions {first} to "
                "{token_ids}: measure it again",
                device=device,
                sequence_id=item.sequence_id,
                logprobs=len(item.logprobs),
                first=item.first,
                token_ids=len(item.token_ids) - 1,
            )
        )
    refuse_no_logprobs(item.logprobs, item.top, item.sequence_id, device, first=item.first)


def _why_left_out(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    first, why = next(iter(left_out.items()))
    return say(
        ": all {left_out} were left out, first {first}: {why}", left_out=len(left_out), first=first, why=why
    )
