"""How much slower or faster a node of a fleet is than the others, from rounds of the same canaries.

A figure of a request (TTFT, TPOT) is divided by the fleet's median for the same canary in the same round, so
what makes a canary slow on all nodes cancels out. The logarithms' mean over a level's requests is the node's
figure there: one request in flight in even rounds (quiet), more in odd ones (busy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pytest_gptoss.judge.accounting import why_first_is_late, why_unaccounted
from pytest_gptoss.judge.arrivals import why_buffered
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.fleet_chance import ROW_LEVEL, beyond, outside, scale_of
from pytest_gptoss.judge.fleet_nodes import Node
from pytest_gptoss.judge.holm import holm
from pytest_gptoss.judge.load import first_token, per_token
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = ["LEVELS", "Excess", "Figure", "Rounds", "excesses", "level_of", "rounds_of"]

Figure: TypeAlias = Literal["ttft", "tpot"]
LEVELS = ("quiet", "busy")
LEAST_TOKENS = 8
"""A shorter answer has no TPOT worth its name."""
LEAST_REQUESTS = 4
"""So many requests of a level must tell a figure."""

USUAL_SPREAD: Mapping[Figure, float] = {"ttft": 0.02, "tpot": 0.01}
"""By so much equal machines differ; a TTFT has the network and the waiting in it as well."""

Rounds: TypeAlias = Mapping[int, Mapping[int, float]]
"""A node's figures in ms: by round, by the place of the prompt."""

_CHECKS: Mapping[Figure, tuple[Callable[[LoadLevel], str | None], ...]] = {
    "ttft": (why_unaccounted, why_buffered, why_first_is_late),
    "tpot": (why_unaccounted, why_buffered),
}
"""Reasons why a round's stamps tell no such figure."""


@dataclass(frozen=True, slots=True)
class Excess:
    """How far a node lies from the fleet's median at one level, as a logarithm, and its standard error.

    ``significant_from``: what chance reaches; ``adjusted``: the p-value after Holm over nodes and levels.
    """

    level: str
    log: float
    error: float
    significant_from: float
    adjusted: float

    @property
    def share(self) -> float:
        """The excess as a share of the median, below 0 of a node that is faster."""
        return math.expm1(self.log)

    @property
    def significant_share(self) -> float:
        """The share that chance reaches on the same side."""
        return abs(math.expm1(math.copysign(self.significant_from, self.log)))


def level_of(round_: int) -> str:
    """The level of a round: "quiet" of even ones, "busy" of odd ones."""
    return LEVELS[round_ % 2]


def rounds_of(node: Node, figure: Figure) -> Rounds:
    """A node's figures; ``node`` has its rounds as ``round_0``, ``round_1``.

    Raises InsufficientData where a request of a round failed, where its stamps tell no such figure, and where
    fewer than ``LEAST_REQUESTS`` requests of a level do. All nodes have the same rounds.
    """
    found: dict[int, dict[int, float]] = {}
    for key, measured in node.items():
        (level,) = sound_items(measured, "levels")[:1]
        _refuse(level, measured.device, figure)
        values = enumerate(_figure(request, figure) for request in level.requests)
        found[int(key.removeprefix("round_"))] = {at: value for at, value in values if value is not None}
    device = next(iter(node.values())).device
    for name in sorted({level_of(each) for each in found}):
        told = sum(len(values) for round_, values in found.items() if level_of(round_) == name)
        if told < LEAST_REQUESTS:
            raise InsufficientData(
                say(
                    "{device}: {told} requests of its {level} rounds tell a {figure}, and {least} are "
                    "needed: ask for longer answers or more canaries",
                    device=device,
                    told=told,
                    level=name,
                    figure=figure.upper(),
                    least=LEAST_REQUESTS,
                )
            )
    return found


def _refuse(level: LoadLevel, device: str, figure: Figure) -> None:
    for request in level.requests:
        if request.error is not None:
            raise InsufficientData(
                say(
                    "{device}: canary {id} failed: {error}",
                    device=device,
                    id=request.id,
                    error=request.error.message,
                )
            )
    for check in _CHECKS[figure]:
        why = check(level)
        if why is not None:
            raise InsufficientData(why)


def _figure(request: RequestTiming, figure: Figure) -> float | None:
    if figure == "tpot" and sum(request.tokens) < LEAST_TOKENS:
        return None
    value = first_token(request) if figure == "ttft" else per_token(request)
    return value if value is not None and value > 0 else None


def excesses(nodes: Mapping[str, Rounds], figure: Figure) -> dict[str, list[Excess]]:
    """How far each node lies from the fleet at each level, by name.

    A deviation is held against the scale of the nodes' figures, in which the noise of measuring is as well;
    by what this node's own noise is larger than the usual one's, its standard error is larger. The noise is
    what its requests differ by, or what its rounds do, if that is more: a disturbance of one round is no
    property of the node. Student's distribution and Holm's procedure over all nodes and levels tell what
    chance reaches.
    """
    names = list(nodes)
    found: dict[tuple[str, str], tuple[float, float, int]] = {}
    for level in sorted({level_of(each) for rounds in nodes.values() for each in rounds}, key=LEVELS.index):
        logs, errors, freedom = _at_level(list(nodes.values()), level, USUAL_SPREAD[figure])
        for name, log, error in zip(names, logs, errors, strict=True):
            found[name, level] = (float(log), float(error), freedom)
    chances = {key: outside(log / error, freedom) for key, (log, error, freedom) in found.items()}
    steps = holm(chances, ROW_LEVEL)
    by_node: dict[str, list[Excess]] = {name: [] for name in names}
    for key, (log, error, freedom) in found.items():
        reach = error * beyond(steps[key].level, freedom)
        by_node[key[0]].append(Excess(key[1], log, error, reach, steps[key].adjusted))
    return by_node


def _at_level(nodes: Sequence[Rounds], level: str, usual: float) -> tuple[FloatArray, FloatArray, int]:
    """Excess of each node and its standard error, as logarithms, and the degrees of freedom.

    Every node told something at the level.
    """
    rounds = sorted({each for node in nodes for each in node if level_of(each) == level})
    parts = [_over_median(nodes, each) for each in rounds]
    whole = np.concatenate(parts, axis=1)
    counts = (~np.isnan(whole)).sum(axis=1)
    means = _means(whole)
    scale = scale_of(means, usual)
    noise = np.maximum(np.nanvar(whole, axis=1) / np.maximum(counts - 1, 1), _between_rounds(parts))
    more = np.maximum(noise - np.median(noise), 0.0)
    return means - np.median(means), np.sqrt(scale.deviation**2 + more), scale.freedom


def _between_rounds(parts: Sequence[FloatArray]) -> FloatArray:
    """Variance of the mean over rounds of each node; 0 where it was seen in one round alone."""
    means = np.stack([_means(part) for part in parts], axis=1)
    seen = (~np.isnan(means)).sum(axis=1)
    squares = np.nansum((means - _means(means)[:, None]) ** 2, axis=1)
    found: FloatArray = squares / np.maximum(seen - 1, 1) / np.maximum(seen, 1)
    return found


def _means(values: FloatArray) -> FloatArray:
    """Means of the rows, NaN of a row without any value."""
    counts = (~np.isnan(values)).sum(axis=1)
    found: FloatArray = np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)
    return found


def _over_median(nodes: Sequence[Rounds], round_: int) -> FloatArray:
    """Logarithms of a round's figures over the fleet's median for the same canary [nodes, canaries]."""
    figures = [node.get(round_, {}) for node in nodes]
    places = sorted({place for each in figures for place in each})
    rows = [[each.get(place, math.nan) for place in places] for each in figures]
    values = np.log(np.array(rows, dtype=np.float64).reshape(len(nodes), len(places)))
    return values - np.nanmedian(values, axis=0) if places else values
