"""The guide's long-context results."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_gptoss.judge.figures import percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import by_threshold, device_caption, of_device
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.tables.verdict_words import verdict_cell
from pytest_gptoss.report.wording import Wording

__all__ = ["needle_table", "needle_task", "size"]

Row = Mapping[str, Json]
Document = Mapping[str, Json]


def needle_table(document: Document, npu: str, translate: Wording) -> Table:
    """The guide's long-context results: a row for each cell of the profile, asked or not."""
    cells = {
        (cell["length"], cell["depth"]): cell
        for cell in of_device(document["measurements"].get("needles", ()), npu)
        if not cell["control"]
    }
    verdicts = by_threshold(document, npu)
    known = [
        row["threshold_id"] for row in [*document["verdicts"], *document["not_judged"]] if row["npu"] == npu
    ]
    planned = {at: threshold_id for threshold_id in known if (at := _cell_of(threshold_id)) is not None}
    rows = []
    for (length, depth), threshold_id in sorted(planned.items()):
        cell = cells.get((length, depth))
        rows.append(
            (
                Cell(percent(depth)),
                Cell(size(length)),
                figure(None if cell is None else cell["first_token_ms"], translate),
                Cell(_recall(cell, translate)),
                verdict_cell(verdicts.get(threshold_id), translate),
            )
        )
    return Table(
        "needle", device_caption(document, npu, translate("section.needle")),
        heads(translate, "depth", "length", "first_token", "recall", "status"), tuple(rows),
        empty=translate("nothing.measured"),
    )  # fmt: skip


def needle_task(document: Document, translate: Wording) -> list[str]:
    """What was hidden and asked for, in a line."""
    task = document["run"].get("needle")
    if not task:
        return []
    return [translate("task", needle=task["needle"], question=task["question"], expect=task["expect"])]


def _recall(cell: Row | None, translate: Wording) -> str:
    if cell is None or not cell["trials"]:
        return translate.figure(None)
    hits = f"{cell['hits']}/{cell['trials']}"
    return (
        hits if cell["outcome"] in (None, "hit") else f"{hits} ({translate.word('outcome', cell['outcome'])})"
    )


def size(tokens: int) -> str:
    """A length of tokens as the guide writes it: 32K; a length that is no whole K in full."""
    return f"{tokens // 1024}K" if tokens % 1024 == 0 else f"{tokens:,}"


def _cell_of(threshold_id: str) -> tuple[int, float] | None:
    """Length and depth of a recall threshold's cell; None when it is no such threshold."""
    found = re.fullmatch(r"needle\.recall\.d([0-9]{3})-([0-9]+)(k?)", threshold_id)
    if found is None:
        return None
    depth, length, kilo = found.groups()
    return int(length) * (1024 if kilo else 1), int(depth) / 100
