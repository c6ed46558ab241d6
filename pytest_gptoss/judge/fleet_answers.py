"""Which answers of a fleet's nodes to the same canaries depart from each other for no near tie.

Two greedy answers part where rounding turns a near tie; that is no fault. ``judge/forks.py`` tells it from
the scores that each node gives its own answer when asked alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import refuse_no_logprobs, sound_items
from pytest_gptoss.judge.fleet_distances import medoid
from pytest_gptoss.judge.fleet_nodes import Node
from pytest_gptoss.judge.forks import NEAR_TIE, compare
from pytest_gptoss.model.gptoss import STOP_IDS
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, StressAnswer

__all__ = ["FIRST_ROUND", "Answers", "Departure", "departures", "first_answers", "likeliest_node"]

FIRST_ROUND = "r0"
"""The kind of the answers that nodes are compared by: nothing else is asked of them meanwhile."""
NO_ANSWER, OTHER_PROMPT = say("no answer"), say("another prompt")

Answers: TypeAlias = Mapping[str, StressAnswer]
"""A node's answers by id."""


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
    """Answers of ours that depart from theirs for no near tie, in the order of their ids."""
    found = [_departure(name, ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs})]
    return [each for each in found if each is not None]


def likeliest_node(nodes: Mapping[str, Answers], subject: str) -> str:
    """The node whose answers depart least from those of all; where that is the subject, the next one.

    Nodes that gave the same answer to a canary are compared once, by the scores of the first of them.
    """
    names = list(nodes)
    sums = np.zeros(len(names))
    for canary in sorted({name for answers in nodes.values() for name in answers}):
        groups = _alike([answers.get(canary) for answers in nodes.values()])
        for place, (ours, members) in enumerate(groups):
            for theirs, others in groups[:place]:
                if _departure(canary, ours, theirs) is not None:
                    sums[members] += len(others)
                    sums[others] += len(members)
    first, second = medoid(sums)
    return names[second] if names[first] == subject else names[first]


def _alike(answers: Sequence[StressAnswer | None]) -> list[tuple[StressAnswer | None, list[int]]]:
    """Each answer that differs from the others, with the places of those that gave it."""
    groups: dict[object, tuple[StressAnswer | None, list[int]]] = {}
    for place, answer in enumerate(answers):
        key = None if answer is None else (answer.first, answer.token_ids)
        groups.setdefault(key, (answer, []))[1].append(place)
    return list(groups.values())


def _departure(name: str, ours: StressAnswer | None, theirs: StressAnswer | None) -> Departure | None:
    if ours is None or theirs is None:
        return Departure(name, NO_ANSWER) if ours is not theirs else None
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
