"""A row of the matrix: something wrong (or sound) to accept, and what should notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "BASELINE",
    "FAIL",
    "FAMILIES",
    "Group",
    "NotMeasured",
    "Outcome",
    "Row",
    "Served",
    "column",
    "families_of",
]

FAMILIES = "precision or needle"
"""What most rows run: the suite but for load, capabilities and preflight."""
Group: TypeAlias = Literal[
    "numerics", "timing", "stress", "real vLLM", "wire", "bench", "controls", "repetitions"
]  # fmt: skip
FAIL = "FAIL"
BASELINE = "baseline"
"""The recorded baseline of most rows: the reference server in FP32."""


class NotMeasured(Exception):
    """A row says nothing, by a fault of the matrix or the machine; the message says which, on one line."""


@dataclass(frozen=True)
class Served:
    """A server under test, and pytest options that its row adds to the command."""

    url: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """``expect`` says how each column that should notice looks: ``FAIL``, or words of an INVALID's reason.

    None: the row is sound and must stay green. ``unseen`` says why a defect need not be caught, for those
    below the stated sensitivity. ``families`` is pytest's ``-m``. ``graded``: one step of a damage that
    grows; its figures are tabled with the others'. ``against`` names the recorded baseline it is judged by.
    ``quick`` is pytest's ``-k`` where the families of the named checks alone are run.
    """

    id: str
    group: Group
    what: str
    serve: Callable[[], AbstractContextManager[Served]]
    expect: Mapping[str, str] = field(default_factory=dict)
    unseen: str | None = None
    families: str = FAMILIES
    graded: bool = False
    against: str = BASELINE
    quick: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong in it."""
        return not self.expect and self.unseen is None

    def missed(self, outcome: Outcome) -> frozenset[str]:
        """The columns that do not look as expected."""
        return frozenset(name for name, looks in self.expect.items() if not outcome.shows(name, looks))


@dataclass(frozen=True)
class Outcome:
    """What a run of a row said: its exit status, and by threshold a verdict, its reason, a figure.

    ``intervals`` are the figures' 95% intervals where there are any, ``evidence`` what the evidence says.
    """

    row: str
    status: int
    seconds: float
    verdicts: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    evidence: str = ""

    @property
    def red(self) -> frozenset[str]:
        """The columns with a FAIL or an INVALID."""
        return frozenset(column(name) for name, word in self.verdicts.items() if word in ("FAIL", "INVALID"))

    @property
    def alarmed(self) -> bool:
        """Whether the command said anything but "all passed"."""
        return bool(self.status or self.red)

    def shows(self, name: str, looks: str) -> bool:
        """Whether a cell of a column is FAIL, or INVALID for a reason with these words."""
        return any(
            word == FAIL
            if looks == FAIL
            else word == "INVALID" and looks in self.reasons.get(threshold_id, "")
            for threshold_id, word in self.verdicts.items()
            if column(threshold_id) == name
        )


def families_of(columns: Iterable[str]) -> str:
    """The ``-m`` of pytest that selects these columns, and no family more."""
    families = {name.partition(".")[0].replace("inputs", "precision") for name in columns}
    return " or ".join(sorted(families))


def column(threshold_id: str) -> str:
    """The column of a threshold: needle cells and load levels share one."""
    family, name, *cell = threshold_id.split(".")
    return f"{family}.{name}" if cell and family in ("needle", "performance", "stress") else threshold_id
