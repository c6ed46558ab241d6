"""The other statistic of a row that has two: what it says, and when it advises another comparison."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.figures import exact, holds, number
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import FORCED, Threshold

__all__ = ["beside_words", "forced_would_pass", "with_beside"]


def with_beside(threshold: Threshold, details: Mapping[str, Json]) -> Mapping[str, Json]:
    """Details whose ``beside`` knows its limit: the one that a run with the other comparison would gate."""
    beside = details.get("beside")
    if not isinstance(beside, Mapping):
        return details
    other = threshold.forced_limit if beside["statistic"] == FORCED else threshold.changed_from
    return {**details, "beside": {**beside, "limit": other}}


def beside_words(beside: Mapping[str, Json]) -> str:
    """``forced 0.987 (not gated, limit 0.96)``, or why there is no figure."""
    if beside["value"] is None:
        return f"{beside['statistic']} not known: {beside['reason']}"
    limit = "" if beside.get("limit") is None else f", limit {exact(beside['limit'])}"
    figure = number(beside["value"], apart_from=beside.get("limit"))
    return f"{beside['statistic']} {figure} (not gated{limit})"


def forced_would_pass(threshold: Threshold, details: Mapping[str, Json]) -> str | None:
    """What to say of a breach that rounding alone explains; None of any other.

    Every fork is a near tie, and under teacher forcing the figure is within its limit.
    """
    beside, kinds = details.get("beside"), details.get("kinds")
    if threshold.forced_limit is None or not isinstance(beside, Mapping) or beside["statistic"] != FORCED:
        return None
    if beside["value"] is None or not kinds or set(kinds) != {"near tie"}:
        return None
    if not holds(beside["value"], threshold.comparison, threshold.forced_limit):
        return None
    return say(
        "every fork is a near tie, and under teacher forcing {value} is within its limit of {limit} (ours, "
        "provisional): "
        "--gptoss-compare forced gates that figure",
        value=number(beside["value"]),
        limit=exact(threshold.forced_limit),
    )
