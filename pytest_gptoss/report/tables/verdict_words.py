"""A verdict's figures as text: its value, its limit, its interval, its status."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.threshold_changes import ADDED
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import FORCED
from pytest_gptoss.report.tables.table import OPEN, Cell
from pytest_gptoss.report.wording import Wording

__all__ = ["interval", "limit", "value", "verdict_cell"]

Row = Mapping[str, Json]


def verdict_cell(row: Row | None, translate: Wording) -> Cell:
    """A verdict as a mark and a word; None stands for what was not measured."""
    if row is None:
        return Cell(translate("status.OPEN"), status=OPEN)
    star = "*" if row["verdict"] == "PASS" and row["proven"] is False else ""
    return Cell(f"{translate.word('status', row['verdict'])}{star}", status=row["verdict"])


def value(row: Row, translate: Wording) -> str:
    """A verdict's figure, in as many digits as tell it from its limit; where it has another one, that too."""
    own = translate.figure(row["value"], row["unit"], apart_from=row["limit"])
    other = _beside(row, translate)
    return own if other is None else f"{own} ({other})"


def _beside(row: Row, translate: Wording) -> str | None:
    """The row's other statistic; None for a row that has one alone."""
    beside = row.get("details", {}).get("beside")  # a cell of the configurations has no details
    if not isinstance(beside, Mapping):
        return None
    statistic = translate.word("statistic", beside["statistic"])
    if beside["value"] is None:
        return translate("beside.unknown", statistic=statistic, reason=beside["reason"])
    figure = translate.figure(beside["value"], apart_from=beside.get("limit"))
    if beside.get("limit") is None:
        return translate("beside", statistic=statistic, value=figure)
    return translate(
        "beside.limit", statistic=statistic, value=figure, limit=translate.limit(beside["limit"])
    )


def limit(row: Row, translate: Wording) -> str:
    """A limit with its comparison, and what a reader must know about it."""
    notes = [translate("source.ours")] if row["source"] == "ours" and row["tier"] == "contract" else []
    if row["statistic"] == FORCED and row.get("statistic_from") is not None:
        notes.append(translate("source.provisional"))
    if row["changed_from"] is not None:
        notes.append(translate("changed", limit=translate.limit(row["changed_from"])))
    statistic = translate.word("statistic", row["statistic"])
    if row.get("statistic_from") is not None:
        before = translate.word("statistic", row["statistic_from"])
        notes.append(translate("changed.statistic", statistic=statistic, before=before))
    elif row["source"] == ADDED:
        notes.append(translate("added", statistic=statistic, option=ADDED))
    text = f"{row['comparison']} {translate.limit(row['limit'], row['unit'])}"
    return f"{text} ({', '.join(notes)})" if notes else text


def interval(row: Row, translate: Wording) -> str:
    """A 95% interval in plain figures, its ends told from the limit."""
    if row["ci"] is None:
        return translate.figure(None)
    return " - ".join(translate.figure(end, apart_from=row["limit"]) for end in row["ci"])
