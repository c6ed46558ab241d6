"""Which answers of a fleet's nodes to the same canaries depart from each other for no near tie.

Two greedy answers part where rounding turns a near tie; that is no fault. ``judge/forks.py`` tells it from
the scores that each node gives its own answer when asked alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import first_difference, refuse_no_logprobs, sound_items
from pytest_gptoss.judge.fleet_distances import medoid
from pytest_gptoss.judge.fleet_nodes import Node
from pytest_gptoss.judge.forks import NEAR_TIE, compare
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.gptoss import STOP_IDS
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, StressAnswer

__all__ = ["FIRST_ROUND", "Answers", "Departure", "departures", "first_answers", "likeliest_node"]

FIRST_ROUND = "r0"
"""The kind of the answers that nodes are compared by: nothing else is asked of them meanwhile."""
OTHER_PROMPT = say("another prompt")

Answers: TypeAlias = Mapping[str, StressAnswer]
"""A node's answers by id."""
_Group: TypeAlias = "tuple[StressAnswer | None, list[int]]"
"""An answer and the places of the nodes that gave it; None: they gave none."""


@dataclass(frozen=True, slots=True)
class Departure:
    """An answer that is another: the ``kind`` of its fork, the token it begins at, and the margin in nats."""

    answer: str
    kind: str
    index: int | None = None
    ours: int | None = None
    theirs: int | None = None
    margin: float | None = None

    def row(self) -> dict[str, Json]:
        """The same for reports."""
        return {
            "answer": self.answer, "kind": self.kind, "index": self.index, "token": self.ours,
            "medoid_token": self.theirs, "margin": self.margin,
        }  # fmt: skip


def first_answers(node: Node) -> Answers:
    """A node's answers of the first round.

    Raises InsufficientData where scores are no measurement.
    """
    measured = node["answers"]
    found = {each.sequence_id: each for each in sound_items(measured, "answers") if each.kind == FIRST_ROUND}
    for name, each in found.items():
        refuse_no_logprobs(each.logprobs, each.top, name, measured.device, first=each.first)
    return found


def departures(ours: Answers, theirs: Answers) -> list[Departure]:
    """Answers of ours that depart from theirs for no near tie, in the order of their ids.

    An answer that did not come is none that departs.
    """
    found = [_departure(name, ours[name], theirs[name]) for name in sorted({*ours} & {*theirs})]
    return [each for each in found if each is not None]


def likeliest_node(nodes: Mapping[str, Answers], subject: str) -> str:
    """The node whose answers depart least from those of all; where that is the subject, the next one."""
    names = list(nodes)
    sums = np.zeros(len(names))
    for canary in sorted({name for answers in nodes.values() for name in answers}):
        _count_departures(_alike([answers.get(canary) for answers in nodes.values()]), sums)
    first, second = medoid(sums)
    return names[second] if names[first] == subject else names[first]


def _alike(answers: Sequence[StressAnswer | None]) -> list[_Group]:
    """Each answer that differs from the others with the places of those that gave it, by its tokens."""
    groups: dict[tuple[int, ...], _Group] = {}
    for place, answer in enumerate(answers):
        key = () if answer is None else answer.token_ids
        groups.setdefault(key, (answer, []))[1].append(place)
    return [groups[key] for key in sorted(groups)]


def _count_departures(groups: Sequence[_Group], sums: FloatArray) -> None:
    """Add to each place's sum the nodes that its answer departs from; ``groups`` in the order of tokens.

    Answers that go the same way at a fork are compared once with those that go another, by the scores of the
    first of each: many nodes that round in many ways would make too many pairs.
    """
    if len(groups) < 2:
        return
    fork = first_difference(_tokens(groups[0]), _tokens(groups[-1]))
    ways = [list(way) for _, way in groupby(groups, lambda each: _tokens(each)[fork : fork + 1])]
    for number, ours in enumerate(ways):
        for theirs in ways[:number]:
            if _departs(ours[0][0], theirs[0][0]):
                sums[_places(ours)] += len(_places(theirs))
                sums[_places(theirs)] += len(_places(ours))
    for way in ways:
        _count_departures(way, sums)


def _tokens(group: _Group) -> tuple[int, ...]:
    return () if group[0] is None else group[0].token_ids


def _places(groups: Sequence[_Group]) -> list[int]:
    return [place for _, places in groups for place in places]


def _departs(ours: StressAnswer | None, theirs: StressAnswer | None) -> bool:
    """Whether two nodes depart from each other; one that gave no answer is far from those that did."""
    if ours is None or theirs is None:
        return ours is not theirs
    return _departure("", ours, theirs) is not None


def _departure(name: str, ours: StressAnswer, theirs: StressAnswer) -> Departure | None:
    if ours.token_ids == theirs.token_ids and ours.first == theirs.first:
        return None
    if ours.token_ids[: ours.first] != theirs.token_ids[: theirs.first]:
        return Departure(name, OTHER_PROMPT)
    fork = compare(_generated(ours), _generated(theirs))["fork"]
    if fork["kind"] == "length":
        longer = max(ours, theirs, key=lambda each: len(each.token_ids))
        if _may_end(longer, fork["index"]):
            return None
    elif fork["kind"] != "real":
        return None
    return Departure(name, fork["kind"], fork["index"], fork["npu_token"], fork["gpu_token"], fork["margin"])


def _may_end(answer: StressAnswer, index: int) -> bool:
    """Whether the end of the answer was a near tie there, or the likeliest."""
    listed = zip(answer.top.ids[index].tolist(), answer.top.logprobs[index].tolist(), strict=True)
    ends = [logprob for token, logprob in listed if token in STOP_IDS]
    return bool(ends) and float(answer.logprobs[index]) - max(ends) <= NEAR_TIE


def _generated(answer: StressAnswer) -> Generation:
    """The answer with the scores that the node gave it when asked alone."""
    prompt, output = answer.token_ids[: answer.first], answer.token_ids[answer.first :]
    return Generation(
        answer.sequence_id,
        prompt,
        output,
        "",
        "",
        (),
        None,
        len(prompt),
        len(output),
        answer.logprobs,
        answer.top,
    )
