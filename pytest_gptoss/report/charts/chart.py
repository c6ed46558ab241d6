"""A plot as data: its series, its limit, its words, and its figures as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.wording import Wording

__all__ = ["Chart", "Document", "Kind", "Row", "Series", "chart_table"]

Kind: TypeAlias = Literal["line", "step", "bar", "points"]

Document: TypeAlias = Mapping[str, Json]
"""The report document."""
Row: TypeAlias = Mapping[str, Json]
"""One of its rows: a verdict, a measured level, a bin."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: points ``x``, ``y``, with whiskers from ``y`` up to ``high`` where there are any.

    ``hue`` is the device's name, a fork's kind or a level: whatever its colour stands for; ``style`` numbers
    line styles and markers, so that nothing is told by colour alone.
    """

    label: str
    hue: str
    kind: Kind
    x: tuple[float, ...]
    y: tuple[float, ...]
    high: tuple[float, ...] = ()
    style: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. ``name`` is what it shows, a word of ours; ``ticks`` names positions on the x axis, where it
    is not a plain scale.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    limit: float | None = None
    limit_label: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    log_x: bool = False
    log_y: bool = False
    note: str = ""
    unit: str = ""

    def alt(self, translate: Wording) -> str:
        """The plot in a sentence, for those who do not see it."""
        parts = [self.title]
        if self.limit_label:
            parts.append(self.limit_label)
        for each in self.series:
            low, high = (translate.figure(end(each.y), apart_from=self.limit) for end in (min, max))
            key = "alt.one" if low == high else "alt.range"
            parts.append(translate(key, series=each.label, low=low, high=high))
        return "; ".join(parts)


def chart_table(chart: Chart, translate: Wording) -> Table:
    """The figures of a plot."""
    names = dict(chart.ticks)
    whiskers = any(each.high for each in chart.series)
    rows = []
    for each in chart.series:
        for index, (x, y) in enumerate(zip(each.x, each.y, strict=True)):
            high = (
                (Cell(translate.figure(each.high[index]) if each.high else "", figure=True),)
                if whiskers
                else ()
            )
            at = names.get(x) or translate.figure(x)
            figure = translate.figure(y, apart_from=chart.limit)
            rows.append((Cell(each.label), Cell(at, figure=True), Cell(figure, figure=True), *high))
    head = (translate("head.series"), chart.x_label, chart.y_label, *(("p99",) if whiskers else ()))
    return Table(f"data-{chart.name}", chart.title, head, tuple(rows))
