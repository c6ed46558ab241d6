"""The guide's precision results, and the devices compared pairwise."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.formats.precision import CONTRACT_METRICS
from pytest_gptoss.report.tables.rows import by_threshold, device_caption, of_device
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.tables.verdict_words import verdict_cell
from pytest_gptoss.report.wording import Wording

__all__ = ["edge_table", "limit_notes", "precision_table"]

Document = Mapping[str, Json]


def precision_table(document: Document, npu: str, translate: Wording) -> Table:
    """The guide's precision results: baseline, device, difference and status of the four figures."""
    measured = {
        row["threshold_id"]: row for row in of_device(document["measurements"].get("precision", ()), npu)
    }
    verdicts = by_threshold(document, npu)
    rows = []
    for threshold_id in CONTRACT_METRICS:
        figures = measured.get(threshold_id, {"gpu": None, "npu": None, "difference": None})
        verdict = verdicts.get(threshold_id)
        bound = None if verdict is None else verdict["limit"]
        rows.append(
            (
                Cell(translate.name(threshold_id)),
                *(figure(figures[key], translate, apart_from=bound) for key in ("gpu", "npu", "difference")),
                verdict_cell(verdict, translate),
            )
        )
    return Table(
        "precision", device_caption(document, npu, translate("section.precision")),
        heads(translate, "metric", "gpu_baseline", "npu_result", "difference", "status"), tuple(rows),
        empty=translate("nothing.measured"),
    )  # fmt: skip


def edge_table(document: Document, translate: Wording) -> Table:
    """The devices compared pairwise: whose fault a difference is."""
    rows = [
        (
            Cell(row["edge"].replace("npu", row["device"])),
            figure(row["perplexity_ratio"], translate),
            figure(row["kl"], translate),
            figure(row["n"], translate),
        )
        for row in document["measurements"].get("edges", ())
    ]
    return Table(
        "edges", translate("section.edges"), heads(translate, "edge", "ratio", "kl", "n"), tuple(rows)
    )


def limit_notes(document: Document, translate: Wording) -> list[str]:
    """Which contract limits are ours, the guide leaving them blank."""
    ids = {
        row["threshold_id"]: None
        for row in document["verdicts"]
        if row["tier"] == "contract" and row["source"] == "ours"
    }
    return [translate("source.ours.note", name=translate.name(threshold_id)) for threshold_id in ids]
