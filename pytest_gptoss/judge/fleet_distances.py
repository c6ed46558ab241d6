"""How far the log-probabilities of each node of a fleet lie from those of its medoid.

The medoid is the node with the least sum of distances to all nodes: while the faulty ones are a minority it
is a sound one, even where they agree with each other. It is itself compared with the next best, so of three
nodes with a bad one the two good ones are compared with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pytest_gptoss.judge.evidence import refuse_no_logprobs, sound_items
from pytest_gptoss.judge.fleet_chance import ROW_LEVEL, Scale, beyond, mad, outside, scale_of
from pytest_gptoss.judge.fleet_nodes import Node, Nodes, require_others
from pytest_gptoss.judge.holm import holm
from pytest_gptoss.model.arrays import Float32Array, FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say

__all__ = ["LEAST_SPREAD", "Distance", "Passage", "distances", "medoid", "of_like_passages", "passages_of"]

LEAST_SPREAD = 0.02
"""Nats. Sound nodes may differ by so much in the mean without being told apart: rounding comes to less."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Scores of all passages of a node, by the order of their ids; ``shape``: which tokens were scored."""

    shape: tuple[tuple[str, int, int], ...]
    logprobs: Float32Array


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a node lies from ``medoid``: ``nats`` in the mean over ``tokens``, in ``spread``, nats too.

    ``significant_from``: as many spreads are beyond chance; ``adjusted``: the p-value after Holm.
    """

    medoid: str
    nats: float
    spread: float
    tokens: int
    significant_from: float
    adjusted: float

    @property
    def spreads(self) -> float:
        """The distance in spreads."""
        return self.nats / self.spread


def passages_of(node: Node) -> Passage:
    """The scores of a node's passages; raises InsufficientData where one is no measurement."""
    measured = node["passages"]
    items = sorted(sound_items(measured, "sequences"), key=lambda each: str(each.sequence_id))
    for each in items:
        refuse_no_logprobs(each.logprobs, each.top, each.sequence_id, measured.device, first=each.first)
    shape = tuple((each.sequence_id, each.first, hash(each.token_ids)) for each in items)
    return Passage(shape, np.concatenate([each.logprobs for each in items]).astype(np.float32))


def of_like_passages(nodes: Nodes[Passage]) -> Nodes[Passage]:
    """The nodes that scored the same tokens as the subject; raises InsufficientData where too few did."""
    own = nodes.told[nodes.subject]
    alike = {name: each for name, each in nodes.told.items() if each.shape == own.shape}
    reason = say("it was given other passages: measure all nodes from the same inputs")
    others = {name: reason for name in nodes.told if name not in alike}
    found = Nodes(nodes.subject, alike, {**nodes.left_out, **others})
    require_others(found)
    return found


def medoid(sums: FloatArray) -> tuple[int, int]:
    """The places of the least and the next least sum; of equal ones the first."""
    first, second = np.argsort(sums, kind="stable")[:2]
    return int(first), int(second)


def distances(logprobs: Mapping[str, Float32Array]) -> dict[str, Distance]:
    """The distance of each node, from log-probabilities of the same tokens, by name; at least three nodes.

    What chance reaches is told one-sided from how far the distances lie beyond their median, by Student's
    distribution and ``fleet_chance.scale_of``. The spread of the figure, a MAD, is no scale for that: of few
    nodes it is too small too often, and where the least one takes its place nothing says how sure it is.
    """
    names = list(logprobs)
    between = _between(list(logprobs.values()))
    centre, runner_up = medoid(between.sum(axis=1))
    nats = between[centre].copy()
    nats[centre] = between[centre, runner_up]
    middle, spread = float(np.median(nats)), max(mad(nats), LEAST_SPREAD)
    scale = scale_of(nats, LEAST_SPREAD)
    chances = {name: _one_sided(each - middle, scale) for name, each in zip(names, nats, strict=True)}
    steps = holm(chances, ROW_LEVEL)
    return {
        name: Distance(
            names[runner_up if place == centre else centre],
            float(nats[place]),
            spread,
            len(logprobs[name]),
            (middle + beyond(2 * steps[name].level, scale.freedom) * scale.deviation) / spread,
            steps[name].adjusted,
        )
        for place, name in enumerate(names)
    }


def _between(rows: list[Float32Array]) -> FloatArray:
    """Mean absolute differences of all pairs [n, n]."""
    stacked = np.stack(rows)
    if not stacked.shape[1]:
        raise InsufficientData(say("no token was scored"))
    found: FloatArray = np.zeros((len(rows), len(rows)))
    for place, row in enumerate(stacked[:-1]):
        found[place, place + 1 :] = np.abs(stacked[place + 1 :] - row).mean(axis=1, dtype=np.float64)
    found += found.T
    return found


def _one_sided(beyond_median: float, scale: Scale) -> float:
    half = outside(beyond_median / scale.deviation, scale.freedom) / 2
    return half if beyond_median >= 0 else 1 - half
