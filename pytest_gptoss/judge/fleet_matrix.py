"""A fleet's nodes side by side, worst first: who is odd, who is dead, and whether all differ from the GPU.

Pure: verdict rows in, a matrix of nodes and rows out. A node is odd when a row of the family ``fleet`` fails
on it, so when it departs from the other nodes. What all nodes share shows in no such row; only the
comparison with a GPU can show that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from pytest_gptoss.model.fleet import FALSE_ALARM
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import Message, joined, listed, say
from pytest_gptoss.model.verdicts import PRECISION_CONTRACT

__all__ = ["CONFIDENCE", "State", "fleet_matrix"]

CONFIDENCE = 0.95
"""How surely the canaries show wrong tokens of the rate that a report tells."""
NAMED = 8
"""Nodes that a sentence names; the others are counted."""

State: TypeAlias = Literal["odd", "dead", "undecided", "agrees", "not compared"]
Row: TypeAlias = Mapping[str, Json]
Node: TypeAlias = Mapping[str, Json]

_ORDER: tuple[State, ...] = ("odd", "dead", "undecided", "not compared", "agrees")
_FIGURES = ("value", "comparison", "limit", "unit", "verdict", "reason", "headroom")
_AGAINST_GPU = (
    "inputs.identical",
    *(f"precision.{name}" for name in PRECISION_CONTRACT),
    "precision.forced_agreement",
    "precision.kl",
)
_ANSWERED = "fleet.repeat"
"""The row whose figure rests on every token that a node's canaries gave again."""


def fleet_matrix(nodes: Sequence[str], rows: Sequence[Row], *, gpu: bool) -> dict[str, Json]:
    """The matrix of a fleet's ``nodes``; ``rows`` are the verdicts as reports carry them, of any family.

    ``rows``: ids of the fleet's rows. ``nodes``, worst first: ``node``, ``label``, ``state``, ``cells`` (row
    id -> value, limit, verdict and reason; null where it has no verdict), how many rows of any family are
    ``failed`` and ``invalid``, ``differs_from_gpu`` (null where nothing tells). ``odd`` and ``dead`` name
    nodes. ``finding`` says it in words. ``gpu``: whether the run has a baseline.
    """
    ids = list(dict.fromkeys(row["threshold_id"] for row in rows if row["family"] == "fleet"))
    by_node: dict[str, dict[str, Row]] = {node: {} for node in nodes}
    for row in rows:
        if row["npu"] in by_node:
            by_node[row["npu"]][row["threshold_id"]] = row
    found = sorted((_node(name, ids, of) for name, of in by_node.items()), key=_rank)
    return {
        "rows": ids,
        "nodes": found,
        "odd": _named(found, "odd"),
        "dead": _named(found, "dead"),
        "compared_with_gpu": gpu,
        "finding": _finding(found, gpu),
        "false_alarms": {"rate": FALSE_ALARM, "method": "Holm"},
        "wrong_tokens": _wrong_tokens(rows),
    }


def _node(name: str, ids: Sequence[str], rows: Mapping[str, Row]) -> dict[str, Json]:
    counts = Counter(row["verdict"] for row in rows.values())
    cells = {each: _cell(rows.get(each)) for each in ids}
    return {
        "node": name,
        "label": next((row["npu_label"] for row in rows.values() if row["npu_label"]), None),
        "state": _state(cells, counts),
        "cells": cells,
        "failed": counts["FAIL"],
        "invalid": counts["INVALID"],
        "differs_from_gpu": _differs(rows),
    }


def _cell(row: Row | None) -> dict[str, Json] | None:
    return None if row is None else {name: row[name] for name in _FIGURES}


def _state(cells: Mapping[str, Row | None], counts: Mapping[str, int]) -> State:
    verdicts = {cell["verdict"] for cell in cells.values() if cell}
    if "FAIL" in verdicts:
        return "odd"
    if counts["INVALID"] and not counts["PASS"]:
        return "dead"
    if "INVALID" in verdicts:
        return "undecided"
    return "agrees" if "PASS" in verdicts else "not compared"


def _differs(rows: Mapping[str, Row]) -> bool | None:
    """Whether a node differs from the GPU; None where nothing tells, or something is in doubt."""
    verdicts = {rows[name]["verdict"] for name in _AGAINST_GPU if name in rows}
    if "FAIL" in verdicts:
        return True
    return False if "PASS" in verdicts and "INVALID" not in verdicts else None


def _rank(node: Node) -> tuple[int, int, int, int, float]:
    """Where a node stands in the matrix: the worst first, those alike in the file's order."""
    cells = [cell for cell in node["cells"].values() if cell]
    room = [cell["headroom"] for cell in cells if cell["comparison"] != "=" and cell["headroom"] is not None]
    failed = sum(cell["verdict"] == "FAIL" for cell in cells)
    state = _ORDER.index(node["state"])
    return state, -failed, -node["failed"], -node["invalid"], min(room, default=math.inf)


def _named(nodes: Sequence[Node], state: State) -> list[str]:
    return [each["node"] for each in nodes if each["state"] == state]


def _wrong_tokens(rows: Sequence[Row]) -> dict[str, Json] | None:
    """The rate of wrong tokens that the canaries find on every node; None where no node tells.

    It is that of the node that gave the fewest tokens.
    """
    told = [
        {name: row["details"].get(name) for name in ("tokens", "rate")}
        for row in rows
        if row["threshold_id"] == _ANSWERED and row["verdict"] in ("PASS", "FAIL")
    ]
    known = [each for each in told if each["tokens"] and each["rate"]]
    fewest = min(known, key=lambda each: each["tokens"], default=None)
    return None if fewest is None else {**fewest, "confidence": CONFIDENCE}


def _finding(nodes: Sequence[Node], gpu: bool) -> str:
    dead, part = _named(nodes, "dead"), _named(nodes, "undecided")
    parts = [_among_each_other(nodes)]
    if dead:
        parts.append(say("not measured: {nodes}", nodes=_listed(dead)))
    if part:
        parts.append(say("measured in part: {nodes}", nodes=_listed(part)))
    against = _against_gpu(nodes) if gpu else say("none was compared with a GPU")
    return joined([*parts, *([against] if against else [])])


def _among_each_other(nodes: Sequence[Node]) -> Message:
    odd, agreeing = _named(nodes, "odd"), _named(nodes, "agrees")
    if len(odd) == 1:
        return say("1 of {all} nodes is odd: {nodes}", all=len(nodes), nodes=_listed(odd))
    if odd:
        return say("{odd} of {all} nodes are odd: {nodes}", odd=len(odd), all=len(nodes), nodes=_listed(odd))
    if len(agreeing) == len(nodes):
        return say("all {all} nodes agree", all=len(nodes))
    if agreeing:
        return say("{agreeing} of {all} nodes agree", agreeing=len(agreeing), all=len(nodes))
    return say("the nodes were not compared with each other")


def _against_gpu(nodes: Sequence[Node]) -> Message | None:
    """Whether the GPU says the same of the nodes as they say of each other."""
    told = [each for each in nodes if each["differs_from_gpu"] is not None]
    differing = [each["node"] for each in told if each["differs_from_gpu"]]
    if not told:
        return None
    if not differing:
        return say("none differs from the GPU")
    alive = [each for each in nodes if each["state"] != "dead"]
    if len(differing) == len(told) < len(alive):
        return say(
            "{nodes} differs from the GPU; of the other nodes it is not known", nodes=_listed(differing)
        )
    if len(differing) == len(told):
        return say("all differ from the GPU: the fault is in what all nodes share, not in one of them")
    if all(each["state"] == "odd" for each in told if each["differs_from_gpu"]):
        return say("{nodes} differs from the GPU too, the other nodes do not", nodes=_listed(differing))
    return say("{nodes} differs from the GPU, the other nodes do not", nodes=_listed(differing))


def _listed(names: Sequence[str]) -> str:
    """Names with commas between them; of many the first, and how many more there are."""
    if len(names) <= NAMED:
        return listed(names)
    return say("{names} and {more} more", names=listed(names[:NAMED]), more=len(names) - NAMED)
