"""When an open level's client was late: it sent requests after they were to be sent."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_gptoss.judge.figures import holds, number
from pytest_gptoss.judge.goodput import kept, late_alone
from pytest_gptoss.judge.instrument import LARGEST_SHARE
from pytest_gptoss.judge.load import send_delay, statistic_of
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["why_late"]

_COUNTED_FROM_INTENDED = ("ttft", "first_text", "e2e")


def why_late(threshold: Threshold, levels: Sequence[LoadLevel]) -> str | None:
    """Why a figure of an open level's trials tells of the client, not of the server, in a line; None if not.

    A limit on TTFT, first text or end-to-end time bears a send delay of 5% of it, by the statistic that the
    limit is for. Goodput bears one that does not decide whether its limit is kept.
    """
    if any(level.shape.arrivals is None for level in levels):
        return None
    figure = threshold.metric.partition(".")[0]
    if figure == "goodput":
        return _why_goodput_is_late(threshold, levels)
    delays = [[late for each in level.requests if (late := send_delay(each)) is not None] for level in levels]
    if figure not in _COUNTED_FROM_INTENDED or not all(delays) or not delays:
        return None
    late = math.fsum(statistic_of(each, threshold.statistic) for each in delays) / len(delays)
    if late <= LARGEST_SHARE * threshold.limit:
        return None
    return say(
        "the client was late, not the server: the {statistic} of its send delay is {late} ms, more than 5% "
        "of the limit of {limit} ms: {way_out}",
        statistic=threshold.statistic,
        late=number(late),
        limit=number(threshold.limit),
        way_out=_WAY_OUT,
    )


_WAY_OUT = say("measure from a machine with an idle core, at a lower rate or with more --gptoss-load-workers")


def _why_goodput_is_late(threshold: Threshold, levels: Sequence[LoadLevel]) -> str | None:
    found = [is_kept for level in levels for is_kept in kept(level)]
    asked, good, late = len(found), sum(found), sum(map(late_alone, levels))
    if not late:
        return None
    fails = not holds(good / asked, threshold.comparison, threshold.limit)
    if not fails or not holds((good + late) / asked, threshold.comparison, threshold.limit):
        return None
    return say(
        "the client was late, not the server: {late} of {asked} requests miss the service level only because "
        "they were sent late: {way_out}",
        late=late,
        asked=asked,
        way_out=_WAY_OUT,
    )
