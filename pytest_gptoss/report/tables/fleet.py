"""The nodes of a fleet by the fleet's rows, worst first, one line a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.fleet import cell_figure, sound
from pytest_gptoss.report.shown_nodes import fleet_part
from pytest_gptoss.report.tables.table import OPEN, Cell, Table
from pytest_gptoss.report.wording import Wording

__all__ = ["ALL_SHOWN", "fleet_tables"]

ALL_SHOWN = 12
"""Nodes of a fleet that stands in one table."""

Document = Mapping[str, Json]
Node = Mapping[str, Json]

_STATES: Mapping[str, str] = {"odd": "FAIL", "dead": "INVALID", "undecided": "INVALID", "agrees": "PASS"}


def fleet_tables(document: Document, translate: Wording) -> tuple[Table, Table] | None:
    """The nodes that something stands against, and the others, which a report may fold up; None: no fleet.

    A small fleet stands in the first table, the second is empty.
    """
    fleet = fleet_part(document)
    if fleet is None:
        return None
    nodes: Sequence[Node] = fleet["nodes"]
    first = [each for each in nodes if len(nodes) <= ALL_SHOWN or not sound(each)]
    others = [each for each in nodes if each not in first]
    return (
        _table("fleet", translate("section.fleet"), first, fleet["rows"], translate),
        _table(
            "fleet_others", translate("fleet.others", count=len(others)), others, fleet["rows"], translate
        ),
    )


def _table(name: str, caption: str, nodes: Sequence[Node], ids: Sequence[str], translate: Wording) -> Table:
    head = (
        translate("head.node"),
        translate("head.state"),
        *(translate.word("fleet_row", each) for each in ids),
        translate("status.FAIL"),
        translate("status.INVALID"),
    )
    return Table(name, caption, head, tuple(_row(node, ids, translate) for node in nodes))


def _row(node: Node, ids: Sequence[str], translate: Wording) -> tuple[Cell, ...]:
    label = node["label"]
    named = f"{node['node']} ({label})" if label and label != node["node"] else node["node"]
    state = translate.word("fleet_state", node["state"])
    return (
        Cell(named),
        Cell(state, status=_STATES.get(node["state"], OPEN)),
        *(_cell(node["cells"].get(each), translate) for each in ids),
        Cell(str(node["failed"]), figure=True),
        Cell(str(node["invalid"]), figure=True),
    )


def _cell(cell: Mapping[str, Json] | None, translate: Wording) -> Cell:
    if cell is None:
        return Cell(translate.figure(None), figure=True)
    marked = cell["verdict"] if cell["verdict"] in ("FAIL", "INVALID", "WAIVED") else None
    return Cell(cell_figure(cell, translate), figure=True, status=marked)
