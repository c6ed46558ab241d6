"""The limit that a plot draws, as fields of a ``Chart``."""

from __future__ import annotations

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.charts.chart import Document, Row
from pytest_gptoss.report.wording import Wording

__all__ = ["drawn_limit", "limit_of"]


def limit_of(document: Document, npu: str, threshold_id: str, translate: Wording) -> dict[str, Json]:
    """The limit of a row that was judged on a device; nothing where it was not."""
    row = next(
        (row for row in document["verdicts"] if row["npu"] == npu and row["threshold_id"] == threshold_id),
        None,
    )
    return {} if row is None else drawn_limit(row, translate)


def drawn_limit(row: Row, translate: Wording, where: str = "") -> dict[str, Json]:
    """The limit of a row; ``where`` names the level that it is for."""
    text = translate("chart.limit", limit=f"{row['comparison']} {translate.limit(row['limit'], row['unit'])}")
    return {"limit": float(row["limit"]), "limit_label": f"{text} {where}".strip()}
