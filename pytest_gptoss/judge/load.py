"""Figures of one load level: of each request, their distributions, and rates.

Times are on the client's monotonic clock, in milliseconds. Latencies of a closed level count from the moment
the request's last byte was written, those of an open level from the moment it was to be sent: what waits in
the client because the server is slow is latency too. Events that carry no generated token are no tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.intervals import quantile_ranks
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = [
    "FIGURES",
    "PERCENT",
    "PERCENTILES",
    "Span",
    "client_delay",
    "distribution",
    "end_to_end",
    "first_text",
    "first_token",
    "full_window",
    "gaps",
    "in_order",
    "per_token",
    "percentile",
    "percentile_bounds",
    "send_delay",
    "since_sent",
    "statistic_of",
    "whole_run",
    "why_incomplete",
]

NS_PER_MS = 1e6
NS_PER_S = 1e9

PERCENTILES = (50, 90, 95, 99)
PERCENT: Mapping[str, float] = {"median": 50, "p50": 50, "p90": 90, "p95": 95, "p99": 99}
"""Percentiles by the statistics that stand for them."""
CURVE = tuple(range(0, 101, 2))
"""Percentiles that a report draws a distribution from."""

Figure: TypeAlias = Callable[[RequestTiming], "float | None"]


def why_incomplete(request: RequestTiming, shape: LoadShape) -> str | None:
    """Why a request does not count, in a line; None when its stream is complete and its counts exact."""
    if request.error is not None:
        return say("{where}: {error}", where=request.error.kind, error=request.error.message)
    asked = dict(
        zip(("prompt", "output"), request.asked or (shape.prompt_tokens, shape.max_tokens), strict=True)
    )
    came = {"prompt": request.prompt_tokens, "output": request.completion_tokens}
    for what, count in came.items():
        if count is None:
            return say(
                "the server told no count of {what} tokens: it must heed stream_options.include_usage",
                what=what,
            )
        if count != asked[what]:
            return say(
                "{count} {what} tokens by the server's count, {asked} were asked for",
                count=count,
                what=what,
                asked=asked[what],
            )
    if request.sent_ns is None or not request.token_ns:
        return say("no event with a token came")
    return None


# -- one request --------------------------------------------------------------------------------


def _begin_ns(request: RequestTiming) -> int | None:
    """The moment that latencies count from: the intended send, without one the last byte written."""
    return request.sent_ns if request.intended_ns is None else request.intended_ns


def _until(request: RequestTiming, stamp_ns: int | None) -> float | None:
    """From the moment that latencies count from to a stamp, ms; None for a request that was never sent."""
    begin = _begin_ns(request)
    if request.sent_ns is None or begin is None or stamp_ns is None:
        return None
    return (stamp_ns - begin) / NS_PER_MS


def first_token(request: RequestTiming) -> float | None:
    """TTFT: until the first event with a token, ms."""
    return _until(request, request.token_ns[0] if request.token_ns else None)


def since_sent(request: RequestTiming) -> float | None:
    """TTFT without what the client was late by, as a server can see it: from the last byte written, ms."""
    if request.sent_ns is None or not request.token_ns:
        return None
    return (request.token_ns[0] - request.sent_ns) / NS_PER_MS


def first_text(request: RequestTiming) -> float | None:
    """Until the first visible text, ms; None where there is none."""
    return _until(request, request.first_text_ns)


def per_token(request: RequestTiming) -> float | None:
    """TPOT: from the first to the last event with a token, over the tokens after the first event, ms.

    None where nothing tells how many tokens each event carries.
    """
    later = sum(request.tokens[1:])
    if request.counted_by is None or later <= 0:
        return None
    return (request.token_ns[-1] - request.token_ns[0]) / later / NS_PER_MS


def gaps(request: RequestTiming) -> list[float]:
    """ITL: time between neighbouring events with tokens, ms; an event may carry several tokens."""
    return [(after - before) / NS_PER_MS for before, after in pairwise(request.token_ns)]


def end_to_end(request: RequestTiming) -> float | None:
    """Until the last event with a token, ms."""
    return _until(request, request.token_ns[-1] if request.token_ns else None)


def client_delay(request: RequestTiming) -> float | None:
    """From handing the request to the client to its last byte written, ms."""
    return None if request.sent_ns is None else (request.sent_ns - request.start_ns) / NS_PER_MS


def send_delay(request: RequestTiming) -> float | None:
    """How late an open loop sent the request, ms; None in a closed loop and for one that was never sent."""
    if request.sent_ns is None or request.intended_ns is None:
        return None
    return (request.sent_ns - request.intended_ns) / NS_PER_MS


FIGURES: Mapping[str, Figure] = {
    "ttft": first_token,
    "first_text": first_text,
    "tpot": per_token,
    "e2e": end_to_end,
    "client_delay": client_delay,
    "send_delay": send_delay,
}
"""Figures that each request has one of, in ms; ``send_delay`` those of open levels alone."""


def in_order(level: LoadLevel) -> list[RequestTiming]:
    """The requests of an open level as they were to arrive; of a closed one as they were measured."""
    return sorted(level.requests, key=lambda each: each.intended_ns or 0)


# -- a distribution -----------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile of at least one value, between neighbours by linear interpolation."""
    return float(np.percentile(np.asarray(values), percent))


def statistic_of(values: Sequence[float], statistic: str) -> float:
    """A statistic of at least one value: a percentile by its name, ``mean``, ``min`` or ``max``."""
    if statistic in PERCENT:
        return percentile(values, PERCENT[statistic])
    if statistic == "mean":
        return math.fsum(values) / len(values)
    return min(values) if statistic == "min" else max(values)


def percentile_bounds(
    values: Sequence[float], percent: float, *, effective: float | None = None
) -> tuple[float | None, float | None]:
    """The order statistics that enclose a percentile at 95%, None on a side that has too few values.

    With few values an order statistic can lie beyond the interpolated percentile; the bound is then that.
    ``effective``: how many independent values they are worth, where they are not (at least 1, at most as many
    as they are); the bounds are then those of so many, at their place among all.
    """
    ordered = sorted(values)
    n = len(ordered)
    worth = n if effective is None else max(1, math.floor(effective))
    low, high = quantile_ranks(worth, percent / 100)
    if low is not None:
        low = max(1, low * (n + 1) // (worth + 1))
    if high is not None:
        high = min(n, -(-high * (n + 1) // (worth + 1)))
    estimate = float(np.percentile(ordered, percent))
    return (
        None if low is None else min(ordered[low - 1], estimate),
        None if high is None else max(ordered[high - 1], estimate),
    )


def distribution(
    values: Sequence[float], *, independent: bool = True, effective: float | None = None
) -> dict[str, Json] | None:
    """Values as reports carry them, None for none: ``n, mean, p50, p90, p95, p99, min, max, bounds, curve``.

    ``bounds`` holds each percentile's order-statistic bounds [low, high], null where too few values
    are there to give one; it is empty unless the values are ``independent``. ``curve`` holds the
    percentiles 0, 2, ... 100. ``effective``: how many independent values they are worth, where that is
    fewer; it then stands in what is returned, too.
    """
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    bounds = {
        f"p{percent}": list(percentile_bounds(values, percent, effective=effective))
        for percent in PERCENTILES
        if independent
    }
    return {
        "n": len(values),
        "mean": math.fsum(values) / len(values),
        **{f"p{percent}": percentile(values, percent) for percent in PERCENTILES},
        "min": float(array.min()),
        "max": float(array.max()),
        "bounds": bounds,
        "curve": [float(each) for each in np.percentile(array, CURVE)],
        **({} if effective is None else {"effective": effective}),
    }


# -- rates --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a level: output tokens that came in it, and the requests they make up.

    Both may be fractions: a request that was under way at an edge of the stretch counts by its share.
    """

    seconds: float
    tokens: float
    requests: float

    @property
    def throughput(self) -> float:
        """Output tokens a second."""
        return self.tokens / self.seconds

    @property
    def qps(self) -> float:
        """Completed requests a second."""
        return self.requests / self.seconds


def whole_run(level: LoadLevel) -> Span | None:
    """From the first request sent to the last token; None when no request came to its end."""
    done = [each for each in level.requests if why_incomplete(each, level.shape) is None]
    sent = [each.sent_ns for each in done if each.sent_ns is not None]
    if not done:
        return None
    seconds = (max(each.token_ns[-1] for each in done) - min(sent)) / NS_PER_S
    if seconds <= 0:
        return None
    return Span(seconds, sum(each.completion_tokens or 0 for each in done), len(done))


def full_window(level: LoadLevel) -> Span | None:
    """The stretch in which as many requests were under way as the level wants.

    From the moment the last of the first ones was sent, until the first end after which no other was
    started. Requests in it are counted by the share of their tokens that came in it: counting ends would
    leave out up to ``concurrency - 1`` that are nearly done when it closes. None when a level had too few
    requests to get there.
    """
    done = [each for each in level.requests if why_incomplete(each, level.shape) is None]
    sent = sorted(each.sent_ns for each in done if each.sent_ns is not None)
    if len(sent) < level.shape.concurrency:
        return None
    begin = sent[level.shape.concurrency - 1]
    ends = [each.token_ns[-1] for each in done]
    after = [end for end in ends if end > sent[-1]]
    if not after or min(after) <= begin:
        return None
    end = min(after)
    shares = [_share_within(each, begin, end) for each in done]
    tokens = math.fsum(
        share * (each.completion_tokens or 0) for each, share in zip(done, shares, strict=True)
    )
    return Span((end - begin) / NS_PER_S, tokens, math.fsum(shares))


def _share_within(request: RequestTiming, begin: int, end: int) -> float:
    """The share of a request's tokens that came after ``begin`` and not after ``end``.

    A share, because counts of events are exact by proportion only: a server that sends no ids and several
    tokens an event has each event counted as one.
    """
    within = sum(
        count for stamp, count in zip(request.token_ns, request.tokens, strict=True) if begin < stamp <= end
    )
    return within / sum(request.tokens)
