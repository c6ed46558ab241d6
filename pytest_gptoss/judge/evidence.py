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
from pytest_gptoss.model.results import Generation, HiddenStates, Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.model.sentinels import filler, no_logprobs, why_no_logprob

__all__ = [
    "answer_ids",
    "cut_to",
    "first_difference",
    "item_id",
    "pair",
    "probed",
    "refuse_no_logprobs",
    "refuse_other_tokens",
    "refuse_sameness",
    "scored_pairs",
    "sound_items",
]

Identified: TypeAlias = Generation | ScoredSequence | HiddenStates
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
        early = "" if measurement.complete else ", then measuring stopped"
        raise InsufficientData(
            f"{device}: {len(failures)} of {len(items) + len(failures)} {what} failed{early}; "
            f"first {first.item_id}: {first.kind}: {first.message}"
        )
    if not measurement.complete:
        raise InsufficientData(
            f"{device}: measuring stopped after {len(items)} {what}: measure again, to the end"
        )
    if not items:
        raise InsufficientData(f"{device}: no {what} to judge{_why_left_out(measurement.left_out)}")
    return items


def pair(left: Measurement[Left], right: Measurement[Right], what: str) -> list[tuple[Left, Right]]:
    """Items of two sound measurements, matched by id, in the order of ``right``.

    Raises InsufficientData when the two do not hold the same ids.
    """
    theirs, ours = _by_id(right, what), _by_id(left, what)
    _refuse_missing(ours.keys() - theirs.keys(), of=left, lacking=right, what=what)
    _refuse_missing(theirs.keys() - ours.keys(), of=right, lacking=left, what=what)
    return [(ours[key], item) for key, item in theirs.items()]


def probed(measurement: Measurement[Any], capability: str, advice: str) -> str:
    """Return what the device answered when it was tried for a capability, or ``advice`` if that is not known.

    The server's own words say more than any advice: a 400 may have another reason than the usual one.
    """
    notes = measurement.provenance.get("lacks")
    note = notes.get(capability) if isinstance(notes, Mapping) else None
    return f"when probed: {note}" if isinstance(note, str) and note else advice


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
        _refuse_bad_scores(ours, left.device)
        _refuse_bad_scores(theirs, right.device)
        if ours.first != theirs.first:
            raise InsufficientData(
                f"{ours.sequence_id}: {left.device} scored from position {ours.first}, {right.device} "
                f"from {theirs.first}: measure both from the same sequences"
            )
    return pairs


def refuse_other_tokens(
    pairs: Iterable[tuple[ScoredSequence | HiddenStates, ScoredSequence | HiddenStates]],
    left: str,
    right: str,
) -> None:
    """Raise InsufficientData unless both devices were given the same token ids in every pair."""
    for ours, theirs in pairs:
        if ours.token_ids != theirs.token_ids:
            at = first_difference(ours.token_ids, theirs.token_ids)
            raise InsufficientData(
                f"{ours.sequence_id}: {left} and {right} were given different tokens, first at position "
                f"{at}: measure both from the same sequences"
            )


def answer_ids(answer: Generation, measurement: Measurement[Any]) -> tuple[int, ...]:
    """Return the answer's token ids; raise InsufficientData when the server withholds them.

    ``measurement`` is the one that the answer belongs to.
    """
    if answer.token_ids is None:
        advice = probed(measurement, "token_ids", "serve with a vLLM that knows return_token_ids")
        raise InsufficientData(
            f"{measurement.device} withholds the token ids of its answers (first {answer.prompt_id}): "
            f"{advice}"
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
            f"{device}: {bad.size} log-probabilities of {item} are none, the first is {value:.6g} at "
            f"position {first + int(bad[0])}: {why_no_logprob(value)}"
        )
    value_of_all = filler(logprobs, top)
    if value_of_all is not None:
        raise InsufficientData(
            f"{device} sent {value_of_all:.6g} as the log-probability of all {logprobs.size} tokens of "
            f"{item} and no alternatives that differ: that is no measurement; serve with logprobs computed, "
            "or waive the rows that need them"
        )


def refuse_sameness(answers: Mapping[str, Hashable], device: str) -> None:
    """Raise InsufficientData when answers (by prompt id) could not tell two devices apart.

    That is: every answer is empty, or there are several and all are the same.
    """
    values = set(answers.values())
    if not any(values):
        raise InsufficientData(
            f"{device}: every one of {len(answers)} answers is empty, agreement with them proves nothing: "
            "check the prompts, max_tokens and the server's log"
        )
    if len(answers) > 1 and len(values) == 1:
        raise InsufficientData(
            f"{device}: all {len(answers)} answers are the same, agreement with them proves nothing: "
            "check this server, or use other prompts"
        )


def first_difference(left: Sequence[int] | str, right: Sequence[int] | str) -> int:
    """First position where two sequences differ; the shorter one's length when it begins the other."""
    shorter = min(len(left), len(right))
    return next((index for index in range(shorter) if left[index] != right[index]), shorter)


def _by_id(measurement: Measurement[Left], what: str) -> dict[str, Left]:
    items = sound_items(measurement, what)
    counts = Counter(item_id(item) for item in items)
    repeated = next((key for key, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise InsufficientData(f"{measurement.device}: {repeated} stands twice among the {what}")
    return {item_id(item): item for item in items}


def _refuse_missing(
    ids: Iterable[str], *, of: Measurement[Any], lacking: Measurement[Any], what: str
) -> None:
    missing = sorted(ids)
    if missing:
        first = missing[0]
        why = lacking.left_out.get(first, "measure both from the same inputs")
        raise InsufficientData(
            f"{len(missing)} {what} of {of.device} are not among those of {lacking.device}; "
            f"first {first}: {why}"
        )


def _refuse_bad_scores(item: ScoredSequence, device: str) -> None:
    scored = len(item.token_ids) - item.first
    if item.first < 1 or scored < 1 or len(item.logprobs) != scored:
        raise InsufficientData(
            f"{device}: {item.sequence_id} has {len(item.logprobs)} scores for positions {item.first} to "
            f"{len(item.token_ids) - 1}: measure it again"
        )
    refuse_no_logprobs(item.logprobs, item.top, item.sequence_id, device, first=item.first)


def _why_left_out(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    first, why = next(iter(left_out.items()))
    return f": all {len(left_out)} were left out, first {first}: {why}"
