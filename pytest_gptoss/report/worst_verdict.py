"""The verdict of a group of thresholds: the worst among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_gptoss.model.json_type import Json

__all__ = ["worst_verdict"]

_ORDER = ("FAIL", "INVALID", "WAIVED", "PASS", "SKIPPED")


def worst_verdict(rows: Iterable[Mapping[str, Json]]) -> Mapping[str, Json] | None:
    """The verdict that decides about a group, a pass that is not proven before one that is; None for none."""
    return min(rows, key=lambda row: (_ORDER.index(row["verdict"]), row["proven"] is not False), default=None)
