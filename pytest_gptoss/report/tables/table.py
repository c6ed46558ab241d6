"""A table of the report as data; whoever writes it into a file escapes its text for it."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.report.wording import Wording

__all__ = ["OPEN", "Cell", "Table", "figure", "heads"]


OPEN = "OPEN"
"""The status of what was not measured."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, whether it is a figure, and the verdict it tells, if any."""

    text: str
    figure: bool = False
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name for links and tests, its caption, its column heads and its rows."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""
    """What stands in the place of the rows where there are none; a table without it is then left out."""
    minor: bool = False
    """Whether it belongs to the table before it."""
    folded: bool = False
    """Whether the page shows its rows on demand only."""
    long: bool = False
    """Whether a report may show its first rows only, and say how many more there are."""


def figure(
    value: float | None, translate: Wording, unit: str = "", *, apart_from: float | None = None
) -> Cell:
    """A figure as a cell; ``apart_from``: a figure that it must not read as."""
    return Cell(translate.figure(value, unit, apart_from=apart_from), figure=True)


def heads(translate: Wording, *keys: str) -> tuple[str, ...]:
    """Column heads by their wording keys."""
    return tuple(translate(f"head.{key}") for key in keys)
