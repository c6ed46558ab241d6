"""A row of the matrix: something wrong (or sound) to accept, and what should notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["FAMILIES", "Group", "Outcome", "Row", "Served", "column", "families_of"]

FAMILIES = "precision or needle"
"""What most rows run: the suite but for load, capabilities and preflight."""
Group: TypeAlias = Literal["numerics", "timing", "real vLLM", "wire", "bench", "controls"]


@dataclass(frozen=True)
class Served:
    """A server under test, and pytest options that its row adds to the command."""

    url: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """``named`` are the columns of which one must turn red; none: the row is sound and must stay green.

    ``unseen`` says why a defect need not be caught, for those below the stated sensitivity. ``families`` is
    pytest's ``-m``. ``graded``: one step of a damage that grows; its figures are tabled with the others'.
    """

    id: str
    group: Group
    what: str
    serve: Callable[[], AbstractContextManager[Served]]
    named: tuple[str, ...] = ()
    unseen: str | None = None
    families: str = FAMILIES
    graded: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong in it."""
        return not self.named and self.unseen is None

    @property
    def named_families(self) -> str:
        """The ``-m`` of pytest for the named checks alone."""
        return families_of(self.named)


@dataclass(frozen=True)
class Outcome:
    """What a run of a row said: its exit status, and a verdict and a figure for each threshold."""

    row: str
    status: int
    seconds: float
    verdicts: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def red(self) -> frozenset[str]:
        """The columns with a FAIL or an INVALID."""
        return frozenset(column(name) for name, word in self.verdicts.items() if word in ("FAIL", "INVALID"))

    @property
    def alarmed(self) -> bool:
        """Whether the command said anything but "all passed"."""
        return bool(self.status or self.red)


def families_of(columns: Iterable[str]) -> str:
    """The ``-m`` of pytest that selects these columns, and no family more."""
    families = {name.partition(".")[0].replace("inputs", "precision") for name in columns}
    return " or ".join(sorted(families))


def column(threshold_id: str) -> str:
    """The column of a threshold: needle cells and load levels share one."""
    family, name, *cell = threshold_id.split(".")
    return f"{family}.{name}" if cell and family in ("needle", "performance") else threshold_id
