"""Plots of capacity: TTFT and goodput of each probe against its rate."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.report.charts.chart import Chart, Document, Row, Series
from pytest_gptoss.report.tables.capacity import capacity_rows, probes_of
from pytest_gptoss.report.wording import Wording

__all__ = ["capacity_charts"]


def capacity_charts(document: Document, translate: Wording) -> list[Chart]:
    """Both plots, all devices together; none where no capacity was found."""
    rows = capacity_rows(document)
    if not rows:
        return []
    slo = rows[0]["details"]["slo"]
    ttft = [
        series
        for row in rows
        for series in (_series(row, "ttft_p50_ms", "p50", 0), _series(row, "ttft_p95_ms", "p95", 1))
    ]
    goodput = [_series(row, "goodput", "", place) for place, row in enumerate(rows)]
    return [
        _chart("capacity_ttft", "ms", ttft, slo["ttft_ms"], translate),
        _chart("capacity_goodput", "goodput", goodput, slo["share"], translate),
    ]


def _chart(name: str, axis: str, series: Sequence[Series], limit: float | None, translate: Wording) -> Chart:
    sign = "<=" if axis == "ms" else ">="
    said = "" if limit is None else translate("chart.limit", limit=f"{sign} {translate.limit(limit)}")
    return Chart(
        name,
        translate(f"chart.{name}"),
        translate("axis.rate"),
        translate(f"axis.{axis}"),
        tuple(each for each in series if each.x),
        limit=limit,
        limit_label=said,
        log_x=True,
    )


def _series(row: Row, key: str, suffix: str, style: int) -> Series:
    points = [(each["rate"], each[key]) for each in probes_of(row) if each[key] is not None]
    x, y = (tuple(float(point[place]) for point in points) for place in (0, 1))
    return Series(f"{row['npu']} {suffix}".strip(), str(row["npu"]), "line", x, y, style=style)
