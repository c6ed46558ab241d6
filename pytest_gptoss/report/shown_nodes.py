"""Which nodes of a fleet a report shows in full: the worst of them. The matrix shows all of them.

A report with every table of 64 nodes would be read by nobody; ``acceptance.json`` has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json

__all__ = ["MOST_SHOWN", "fleet_part", "hidden_nodes", "shown_nodes", "shown_part", "without_nodes"]

MOST_SHOWN = 8
"""Nodes that are shown in full."""

_BEGINNING = 4
"""Words of a note's beginning."""

Document = Mapping[str, Json]


def fleet_part(document: Document) -> Mapping[str, Json] | None:
    """The document's fleet; None of a run without one, and of one that has not begun to judge."""
    found: Mapping[str, Json] | None = document["run"].get("fleet")
    return found or None


def shown_nodes(document: Document) -> list[str] | None:
    """The nodes that are shown in full, worst first; None where the run has no fleet."""
    fleet = fleet_part(document)
    return None if fleet is None else [each["node"] for each in fleet["nodes"][:MOST_SHOWN]]


def hidden_nodes(document: Document) -> list[str]:
    """The other nodes of the fleet."""
    fleet = fleet_part(document)
    return [] if fleet is None else [each["node"] for each in fleet["nodes"][MOST_SHOWN:]]


def shown_part(document: Document) -> Document:
    """The document without the rows and measurements of nodes that are not shown; the run stays whole."""
    return without_nodes(document, frozenset(hidden_nodes(document)))


def without_nodes(document: Document, hidden: frozenset[str]) -> Document:
    """The document without the rows and measurements of these nodes; the run and its devices stay whole."""
    if not hidden:
        return document
    measured = document["measurements"]
    kept = {name: _without(each, hidden) for name, each in measured.items()}
    load = measured.get("load")
    if load:
        kept["load"] = {name: _without(each, hidden) for name, each in load.items()}
    lists = {name: _without(document[name], hidden) for name in ("verdicts", "not_judged")}
    return {**document, **lists, "measurements": kept}


def _without(found: Json, hidden: frozenset[str]) -> Json:
    """A list without what is about a hidden node; anything else as it is."""
    if not isinstance(found, list):
        return found
    return [each for each in found if not _about(each) & hidden]


def _about(found: Json) -> frozenset[str]:
    """The names that a row, a measurement or a note gives as its device; a note names it in its beginning."""
    if isinstance(found, str):
        return frozenset(word.rstrip(":") for word in found.split(maxsplit=_BEGINNING)[:_BEGINNING])
    if not isinstance(found, Mapping):
        return frozenset()
    device = found["npu"] if "threshold_id" in found and "npu" in found else found.get("device")
    return frozenset([device]) if isinstance(device, str) else frozenset()
