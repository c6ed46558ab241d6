"""The plot of the long-context cells: time to first token by prompt length."""

from __future__ import annotations

from pytest_gptoss.report.charts.chart import Chart, Document, Series
from pytest_gptoss.report.tables.needles import size
from pytest_gptoss.report.wording import Wording

__all__ = ["needle_chart"]


def needle_chart(document: Document, translate: Wording) -> Chart | None:
    """How the first token's wait grows with the prompt, on every device that was asked."""
    cells = [
        cell
        for cell in document["measurements"].get("needles", ())
        if not cell["control"] and cell["first_token_ms"] is not None and cell["prompt_tokens"]
    ]
    series: list[Series] = []
    for device in dict.fromkeys(cell["device"] for cell in cells):
        points = sorted(
            (cell["prompt_tokens"], cell["first_token_ms"]) for cell in cells if cell["device"] == device
        )
        x, y = zip(*points, strict=True)
        series.append(Series(device, device, "line", x, y, style=len(series)))
    if not series:
        return None
    lengths = sorted({cell["length"] for cell in cells})
    return Chart(
        "needle",
        translate("chart.needle"),
        translate("axis.prompt_tokens"),
        translate("axis.first_token"),
        tuple(series),
        ticks=tuple((float(length), size(length)) for length in lengths),
        log_x=True,
        log_y=True,
    )
