"""Each verdict as a place on a line with its limit: what passed, by how much, and where it nearly did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.verdicts import headroom
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import TIERS
from pytest_gptoss.report.charts.history import History, history
from pytest_gptoss.report.headline import close, sentence
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.table import Cell
from pytest_gptoss.report.tables.verdict_words import interval, limit, value, verdict_cell
from pytest_gptoss.report.wording import Wording

__all__ = ["Range", "RangeGroup", "range_groups"]

Row = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Range:
    """One verdict. Places are percent of the line from left; to the right of ``limit_at`` it passes.

    ``at`` is None where there is no figure; ``far``: the value lies beyond the left end.
    """

    id: str
    name: str
    value: str
    limit: str
    interval: str
    n: str
    cell: Cell
    alt: str
    headroom: str
    flags: tuple[str, ...]
    limit_at: float
    at: float | None
    low_at: float | None
    high_at: float | None
    far: bool
    history: History | None


@dataclass(frozen=True, slots=True)
class RangeGroup:
    """The verdicts of one tier on one device."""

    caption: str
    rows: tuple[Range, ...]

    @property
    def has_history(self) -> bool:
        """Whether a row has figures of earlier runs."""
        return any(row.history is not None for row in self.rows)


def range_groups(document: Mapping[str, Json], translate: Wording) -> list[RangeGroup]:
    """Every verdict, the guide's thresholds before ours, device by device."""
    several = len(npus(document)) > 1
    groups = []
    for npu in npus(document):
        for tier in TIERS:
            rows = [row for row in document["verdicts"] if row["npu"] == npu and row["tier"] == tier]
            caption = translate.word("tier", tier)
            if rows:
                groups.append(
                    RangeGroup(
                        f"{npu}: {caption}" if several else caption,
                        tuple(_range(row, translate) for row in rows),
                    )
                )
    return groups


def _range(row: Row, translate: Wording) -> Range:
    ends = [] if row["ci"] is None else sorted(_place(row, end) for end in row["ci"])
    flags = [translate("close")] if close(row) else []
    if row["verdict"] == "PASS" and row["proven"] is False:
        flags.append(translate("unproven"))
    return Range(
        id=row["threshold_id"],
        name=translate.name(row["threshold_id"]),
        value=value(row, translate),
        limit=limit(row, translate),
        interval=interval(row, translate),
        n=translate.figure(row["n"]),
        cell=verdict_cell(row, translate),
        alt=sentence(row, translate),
        headroom=_headroom(row, translate),
        flags=tuple(flags),
        limit_at=_limit_at(row),
        at=None if row["value"] is None else _place(row, row["value"]),
        low_at=ends[0] if ends else None,
        high_at=ends[1] if ends else None,
        far=None not in (row["value"], row["headroom"]) and row["headroom"] <= -1,
        history=history(row, translate),
    )


def _limit_at(row: Row) -> float:
    """Where the limit stands: in the middle, or at the end where nothing can be better than it."""
    return 100.0 if row["comparison"] == "=" else 50.0


def _place(row: Row, figure: float) -> float:
    inside = headroom(figure, row["comparison"], row["limit"], row["unit"])
    at = _limit_at(row)
    return round(min(100.0, max(0.0, at + at * inside)), 2)


def _headroom(row: Row, translate: Wording) -> str:
    if row["headroom"] is None or row["value"] is None:
        return ""
    if row["comparison"] == "=":
        return translate("headroom.exact") if row["headroom"] == 0 else ""
    if row["value"] == row["limit"]:
        return translate("headroom.at")
    distance = translate.figure(abs(row["value"] - row["limit"]), row["unit"])
    if row["headroom"] < 0:
        return translate("headroom.out", distance=distance)
    if row["headroom"] > 1:  # there is no best a figure without a bound could be
        return translate("headroom.open", distance=distance)
    return translate("headroom.in", distance=distance, percent=f"{row['headroom']:.0%}")
