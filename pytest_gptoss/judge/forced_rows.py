"""The table of a run whose answers are compared under teacher forcing (``--gptoss-compare forced``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_gptoss.model.verdicts import FORCED, Threshold

__all__ = ["gated_by_forced", "with_forced"]


def with_forced(table: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """The table with each row that has a ``forced_limit`` gated by it, as if a user had changed it."""
    return {
        key: row if row.forced_limit is None else gated_by_forced(row, row.forced_limit)
        for key, row in table.items()
    }


def gated_by_forced(row: Threshold, limit: float) -> Threshold:
    """The row with the statistic "forced" and its limit, and what they were changed from."""
    before = row.limit if row.limit != limit else None
    return replace(row, statistic=FORCED, statistic_from=row.statistic, limit=limit, changed_from=before)
