"""What the user has changed of the profile: limits, and thresholds that are not judged."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.table import Cell, Table, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["change_table", "changes", "waiver_table"]

Document = Mapping[str, Json]


def change_table(document: Document, translate: Wording) -> Table:
    """The limits that the user has changed."""
    rows = [
        (Cell(name), Cell(before, figure=True), Cell(now, figure=True))
        for name, before, now in changes(document, translate)
    ]
    return Table(
        "changes",
        translate("section.changes"),
        heads(translate, "threshold", "changed_from", "changed_to"),
        tuple(rows),
        empty=translate("nothing.changes"),
    )


def changes(document: Document, translate: Wording) -> list[tuple[str, str, str]]:
    """Threshold id, the profile's limit and this run's, with the statistics where they differ."""
    found = []
    for name, change in document["run"]["changed_limits"].items():
        limits = [translate.limit(change["from"]), translate.limit(change["to"])]
        if "statistic_to" in change:
            said = [translate.word("statistic", change[f"statistic_{end}"]) for end in ("from", "to")]
            limits = [f"{text} ({statistic})" for text, statistic in zip(limits, said, strict=True)]
        found.append((name, *limits))
    return found


def waiver_table(document: Document, translate: Wording) -> Table:
    """The thresholds that the user chose not to judge, and why."""
    rows = [(Cell(name), Cell(reason)) for name, reason in document["run"]["waivers"].items()]
    return Table(
        "waivers",
        translate("section.waivers"),
        heads(translate, "threshold", "reason"),
        tuple(rows),
        empty=translate("nothing.waivers"),
    )
