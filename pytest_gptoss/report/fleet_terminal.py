"""What the final table says of a fleet: the odd nodes by name with row and figure, the others counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_gptoss.judge.figures import exact, number
from pytest_gptoss.judge.verdicts import PLAIN_UNITS
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.fleet import fleet_notes, sound
from pytest_gptoss.report.shown_nodes import MOST_SHOWN, fleet_part, without_nodes
from pytest_gptoss.report.wording import Wording

__all__ = ["fleet_lines", "told_devices", "told_part"]

Document = Mapping[str, Json]
Node = Mapping[str, Json]


def fleet_lines(document: Document, translate: Wording) -> Iterator[str]:
    """What was found among the nodes, a line for each odd one, and what the run could find."""
    fleet = fleet_part(document)
    if fleet is None:
        return
    yield fleet["finding"]
    odd = [each for each in fleet["nodes"] if each["state"] == "odd"]
    for node in odd[:MOST_SHOWN]:
        yield f"{node['node']}: {'; '.join(_breaches(node))}"
    yield from fleet_notes(document, translate)


def _breaches(node: Node) -> Iterator[str]:
    for threshold_id, cell in node["cells"].items():
        if cell and cell["verdict"] == "FAIL":
            unit = "" if cell["unit"] in PLAIN_UNITS else f" {cell['unit']}"
            value = number(cell["value"], apart_from=cell["limit"])
            yield f"{threshold_id} {value}{unit}, required {cell['comparison']} {exact(cell['limit'])}"


def told_devices(document: Document) -> list[Mapping[str, Json]]:
    """The devices that have a line: of a fleet's nodes only the first that are in trouble."""
    devices: list[Mapping[str, Json]] = list(document["devices"])
    if fleet_part(document) is None:
        return devices
    others = [each for each in devices if each["role"] != "npu"]
    troubled = [each for each in devices if each["role"] == "npu" and each["problem"]]
    return [*troubled[:MOST_SHOWN], *others]


def told_part(document: Document) -> Document:
    """Of a fleet the rows that did not hold, and the measurements, of the first nodes that are in trouble.

    Nodes that were not measured at all have their own line. A small fleet's measurements are all told.
    """
    fleet = fleet_part(document)
    if fleet is None:
        return document
    nodes = fleet["nodes"]
    troubled = [each["node"] for each in nodes if not sound(each) and each["state"] != "dead"][:MOST_SHOWN]
    told = [each["node"] for each in nodes] if len(nodes) <= MOST_SHOWN else troubled
    part = without_nodes(document, frozenset(each["node"] for each in nodes) - set(told))
    rows = [
        row for row in part["verdicts"] if row["npu"] in troubled and row["verdict"] in ("FAIL", "INVALID")
    ]
    return {**part, "verdicts": rows}
