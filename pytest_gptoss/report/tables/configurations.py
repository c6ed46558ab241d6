"""Several configurations of one device side by side, and what each server is known to run."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.tables.verdict_words import value
from pytest_gptoss.report.wording import Wording

__all__ = ["configuration_findings", "configuration_table", "server_fact_table"]


def configuration_table(document: Mapping[str, Json], translate: Wording) -> Table:
    """Each configuration against the GPU and against the first one, a figure a column."""
    matrix = document["measurements"].get("configurations")
    names = list(matrix["configurations"][0]["against_gpu"]) if matrix else []
    rows = []
    for row in matrix["configurations"] if matrix else ():
        for other, cells in (("gpu", row["against_gpu"]), (matrix["first"], row["against_first"])):
            if any(cells.values()):
                rows.append(
                    (
                        Cell(f"{row['device']} - {other}"),
                        Cell(row["label"] or ""),
                        *(_cell(cells.get(name), translate) for name in names),
                    )
                )
    head = (
        translate("head.edge"),
        translate("head.label"),
        *(translate.name(f"configuration.{name}") for name in names),
    )
    return Table("configurations", translate("section.configurations"), head, tuple(rows))


def configuration_findings(document: Mapping[str, Json], translate: Wording) -> list[str]:
    """Which configuration departs, in a line; nothing when none does."""
    matrix = document["measurements"].get("configurations")
    return [matrix["finding"]] if matrix and matrix["finding"] else []


def _cell(cell: Mapping[str, Json] | None, translate: Wording) -> Cell:
    if cell is None:
        return Cell(translate.figure(None))
    figure = "" if cell["value"] is None else f"{value(cell, translate)} "
    return Cell(f"{figure}{translate.word('status', cell['verdict'])}", status=cell["verdict"])


def server_fact_table(document: Mapping[str, Json], translate: Wording) -> Table:
    """What is known of the servers' software and settings, and from where."""
    rows = [
        (
            Cell(server["device"]),
            Cell(fact["name"].replace("_", " ")),
            Cell(str(fact["value"])),
            Cell(translate.word("source", str(fact["source"]))),
        )
        for server in document["measurements"].get("preflight") or ()
        for fact in server["facts"]
    ]
    head = (
        translate("head.device"),
        translate("head.fact"),
        translate("head.fact_value"),
        translate("head.source"),
    )
    return Table("server_facts", translate("section.server_facts"), head, tuple(rows), minor=True)
