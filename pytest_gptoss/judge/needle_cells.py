"""Needle cells by name: where in a prompt of which length a needle lies (``d025-32k``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.scenarios.kinds import Needle

__all__ = ["GRID_DEPTHS", "Cell", "cells_of", "full_grid", "read_cell", "read_size", "size"]

GRID_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Depths of the full grid, at each length that a table names."""

_METRICS = ("needle_recall", "needle_control")
_CELL = re.compile(r"d([0-9]{3})-([0-9]{1,7}k?)")
_SIZE = re.compile(r"([0-9]{1,7})(k?)")


class Cell(NamedTuple):
    """``length`` of a prompt in tokens, ``depth`` of its needle from 0 to 1; sorted by length."""

    length: int
    depth: float

    @property
    def name(self) -> str:
        """The cell's name in threshold and metric ids."""
        return self.scenario("").cell

    def scenario(self, device: str, *, control: bool = False) -> Needle:
        """What is measured for this cell on a device."""
        return Needle(device, self.depth, self.length, control)


def read_cell(text: str) -> Cell | None:
    """The cell of a name; None for what is none, or not written as ``Cell.name`` writes it."""
    found = _CELL.fullmatch(text)
    length = None if found is None else read_size(found[2])
    if found is None or length is None or int(found[1]) > 100:
        return None
    return Cell(length, int(found[1]) / 100)


def size(length: int) -> str:
    """A length as ids write it: ``32k``, ``300``."""
    return Cell(length, 0.0).name.partition("-")[2]


def read_size(text: str) -> int | None:
    """The length that ids write so, in tokens; None for what is none."""
    found = _SIZE.fullmatch(text)
    length = 0 if found is None else int(found[1]) * (1024 if found[2] else 1)
    return length if length and size(length) == text else None


def cells_of(thresholds: Iterable[Threshold]) -> tuple[Cell, ...]:
    """The cells that a table names, the shortest first."""
    names = (row.metric.partition(".") for row in thresholds)
    found = {read_cell(cell) for family, _, cell in names if family in _METRICS}
    return tuple(sorted(each for each in found if each is not None))


def full_grid(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """These cells and, for each of their lengths, those at every grid depth; the shortest first."""
    own = {*cells}
    return tuple(sorted(own | {Cell(each.length, depth) for each in own for depth in GRID_DEPTHS}))
