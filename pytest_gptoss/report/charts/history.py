"""A row's figures over the earlier runs of its ledger, as a small line that the page draws beside the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.report.charts.chart import Row
from pytest_gptoss.report.tables.verdict_words import limit
from pytest_gptoss.report.wording import Wording

__all__ = ["HEIGHT", "WIDTH", "History", "history"]

WIDTH, HEIGHT = 120, 32
"""The box that the line is drawn in."""
_EDGE = 4
"""Kept free on every side, for the point of this run."""
_LEAST_SPAN = 0.05
"""Least height of the box, as a share of the figures: chance alone shall not look like a change."""

Beyond: TypeAlias = Literal["", "above", "below"]


@dataclass(frozen=True, slots=True)
class History:
    """Places in the box: the line's points, this run's (``x``, ``y``) and the limit's.

    ``y`` is None where this run has no figure; ``beyond``: the limit lies so far off that it is drawn at the
    box's end.
    """

    points: str
    x: float
    y: float | None
    limit_y: float
    beyond: Beyond
    count: str
    alt: str


def history(row: Row, translate: Wording) -> History | None:
    """The line of a verdict; None where there are no two figures to draw it between."""
    earlier = [float(each["value"]) for each in row.get("history") or ()]
    figures = earlier if row["value"] is None else [*earlier, float(row["value"])]
    if not earlier or len(figures) < 2:
        return None
    bound = float(row["limit"])
    unit = max(map(abs, figures)) or 1.0
    scaled = [each / unit for each in figures]  # neither a sum nor a difference of figures can be too large
    low, high, beyond = _scale(scaled, bound / unit)
    places = [(_x(index, len(scaled)), _y(each, low, high)) for index, each in enumerate(scaled)]
    return History(
        points=" ".join(f"{x:g},{y:g}" for x, y in places),
        x=places[-1][0],
        y=None if row["value"] is None else places[-1][1],
        limit_y=_y(bound / unit, low, high),
        beyond=beyond,
        count=translate("history.count", n=len(earlier)),
        alt=_alt(row, earlier, translate),
    )


def _scale(scaled: Sequence[float], bound: float) -> tuple[float, float, Beyond]:
    """The lower and upper end of the box, and where the limit lies when it is none of it."""
    low, high = min(scaled), max(scaled)
    lacking = max(0.0, _LEAST_SPAN - (high - low)) / 2
    low, high = low - lacking, high + lacking
    span = high - low
    if bound > high + span:
        return low, high, "above"
    if bound < low - span:
        return low, high, "below"
    return min(low, bound), max(high, bound), ""


def _x(index: int, count: int) -> float:
    return round(_EDGE + (WIDTH - 2 * _EDGE) * index / (count - 1), 1)


def _y(value: float, low: float, high: float) -> float:
    """Where a value lies from above, at an end of the box where it lies outside."""
    height = min(1.0, max(0.0, (value - low) / (high - low)))
    return round(HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * height, 1)


def _alt(row: Row, earlier: Sequence[float], translate: Wording) -> str:
    dates = [each["started"][:10] for each in row["history"]]
    low, high, last = (
        translate.figure(each, row["unit"]) for each in (min(earlier), max(earlier), earlier[-1])
    )
    return translate(
        "history.alt",
        n=len(earlier),
        first_date=dates[0],
        last_date=dates[-1],
        low=low,
        high=high,
        last=last,
        value=translate.figure(row["value"], row["unit"]),
        limit=limit(row, translate),
    )
