"""Performance under load: latencies, rates, and whether the level was sound at all.

Every metric takes the trials of one level by keyword. With several trials the figure is their mean and
its interval Student's over the trials; with one, the interval is over its requests, where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pytest_gptoss.judge.accounting import (
    SEVERAL_TOKENS,
    tokens_per_event,
    why_first_is_late,
    why_unaccounted,
)
from pytest_gptoss.judge.arrivals import why_buffered
from pytest_gptoss.judge.certified import certified, widened
from pytest_gptoss.judge.evidence import probed
from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.instrument import Clock
from pytest_gptoss.judge.intervals import Interval, bootstrap_mean
from pytest_gptoss.judge.level_trials import (
    Trial,
    levels_of,
    nothing,
    of_level,
    over_trials,
    sound,
    sound_and_stable,
    sound_levels,
)
from pytest_gptoss.judge.load import (
    FIGURES,
    PERCENT,
    Span,
    full_window,
    gaps,
    in_order,
    percentile_bounds,
    statistic_of,
    whole_run,
    why_incomplete,
)
from pytest_gptoss.judge.metric import Compute
from pytest_gptoss.model.errors import ERROR_EVENT, ConditionAbsent, InsufficientData
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import LoadLevel, RequestTiming
from pytest_gptoss.model.verdicts import Estimate

__all__ = [
    "FULL",
    "LATENCY_STATISTICS",
    "RATE_STATISTICS",
    "completed",
    "error_rate",
    "itl",
    "latency",
    "qps",
    "throughput",
    "uncached",
]

_F = TypeVar("_F", bound=Compute)

_REQUIRED: Mapping[str, tuple[Callable[[LoadLevel], str | None], ...]] = {
    "ttft": (why_unaccounted, why_buffered, why_first_is_late),
    "first_text": (why_buffered,),
    "tpot": (why_unaccounted, why_buffered),
}
"""What a figure needs of a level; each gives the reason why it is not so, in a line."""

LATENCY_STATISTICS = (*PERCENT, "mean", "min", "max")
"""What may be gated of a latency; a median is the 50th percentile."""

_OF_CLIENT = ("client_delay", "send_delay")
"""Figures of the client alone, which tell as much where the server cannot keep up."""

WHOLE, FULL = "whole run", "full concurrency"
RATE_STATISTICS = (WHOLE, FULL)
"""What may be gated of a rate: from the first send to the last token, or while all were under way."""

_COMPLETIONS = say(
    "a chat server renders the prompt and may end an answer early whatever min_tokens says: try "
    "--gptoss-bench-endpoint completions"
)


def _each_figure(function: _F) -> _F:
    """Declare each figure that every request has one of."""
    for figure in FIGURES:
        clock: Clock = "tpot" if figure == "tpot" else "ttft"
        rests_on = sound if figure in _OF_CLIENT else sound_and_stable
        of_level(figure, LATENCY_STATISTICS, rests_on=rests_on, clock=clock, arguments={"figure": figure})(
            function
        )
    return function


@_each_figure
def latency(*, figure: str, statistic: str = "median", **trials: Trial) -> Estimate:
    """A statistic of a figure that each request has one of (``ttft``, ``first_text``, ``tpot``, ``e2e``,
    ``client_delay``, ``send_delay``), in ms over the requests of the level; interval by order statistics, of
    the mean by the bootstrap. A percentile of an open level is certified by ``effective_number``.

    What needs the arrival of single events (TTFT, first text, TPOT) has no value where they came buffered;
    TTFT and TPOT have none unless every generated token is accounted for.
    """  # fmt: skip

    def of(level: LoadLevel) -> list[float]:
        _require_none(check(level) for check in _REQUIRED.get(figure, ()))
        found = [FIGURES[figure](request) for request in in_order(level)]
        values = [value for value in found if value is not None]
        if figure == "send_delay" and level.shape.arrivals is None:
            raise ConditionAbsent(say("a closed loop sends when an answer has ended, so no request is late"))
        if len(values) < len(found):
            what = say("text") if figure == "first_text" else say("tokens")
            raise InsufficientData(
                say(
                    "{lacking} of {requests} requests have no {figure}: too few {what} came; ask for "
                    "more with --gptoss-max-tokens",
                    lacking=len(found) - len(values),
                    requests=len(found),
                    figure=figure,
                    what=what,
                )
            )
        return values

    return _of_values(trials, of, statistic, independent=True)


@of_level("itl", LATENCY_STATISTICS, rests_on=sound_and_stable, clock="ttft")
def itl(*, statistic: str = "median", **trials: Trial) -> Estimate:
    """A statistic of the time between neighbouring token events, in ms over all events of all requests.

    No interval within one trial: the events of a request are not independent. A percentile of an open level
    is certified by the mean gap of each request. Where events carry several tokens the finding says so: it is
    a time per event. No value where events came buffered.
    """

    def of(level: LoadLevel) -> list[float]:
        _require_none([why_buffered(level)])
        values = [gap for request in level.requests for gap in gaps(request)]
        if not values:
            raise InsufficientData(say("no request has two events with tokens: raise --gptoss-max-tokens"))
        return values

    found = _of_values(trials, of, statistic, independent=False, certify_by=_mean_gaps)
    per_event = [tokens_per_event(level.requests) for level in levels_of(trials)]
    several = [each for each in per_event if each is not None and each >= SEVERAL_TOKENS]
    if not several:
        return found
    finding = say(
        "per event, which carries {several:.1f} tokens on average: TPOT is the time per token",
        several=several[0],
    )
    return replace(found, details={**found.details, "finding": finding})


@of_level("throughput", RATE_STATISTICS)
def throughput(*, statistic: str = WHOLE, **trials: Trial) -> Estimate:
    """Output tokens a second: all of them over (last token - first send), or in the full window."""
    return _of_spans(trials, statistic, lambda span: span.throughput, "tok/s")


@of_level("qps", RATE_STATISTICS)
def qps(*, statistic: str = WHOLE, **trials: Trial) -> Estimate:
    """Requests completed a second, over the same time as ``throughput``; by their tokens in the window."""
    return _of_spans(trials, statistic, lambda span: span.qps, "req/s")


@of_level("error_rate", ("rate",), rests_on=nothing)
def error_rate(**trials: Trial) -> Estimate:
    """Share of requests that failed or came with other counts than asked for."""
    share = completed(**trials)
    return Estimate(1.0 - share.value, "share", share.n, None, share.details)


@of_level("completed", ("rate",), rests_on=nothing)
def completed(**trials: Trial) -> Estimate:
    """Share of requests with a complete stream and exact counts. All are counted, so there is no interval."""
    levels = levels_of(trials)
    asked = sum(level.shape.requests for level in levels)
    sent = [(each, why_incomplete(each, level.shape), level) for level in levels for each in level.requests]
    bad = [(request, why, level) for request, why, level in sent if why is not None]
    complete = len(sent) - len(bad)
    details: dict[str, Json] = {"requests": asked, "incomplete": asked - complete}
    unsent = asked - len(sent)
    if bad:
        request, why, _ = bad[0]
        finding: list[str] = [
            say(
                "{incomplete} of {asked} requests incomplete, first {id}: {why}",
                incomplete=asked - complete,
                asked=asked,
                id=request.id,
                why=why,
            )
        ]
        if unsent:
            finding.append(say("{unsent} were not sent after so many failures in a row", unsent=unsent))
        if any(_chat_may_spoil(each, level.shape) for each, _, level in bad):
            finding.append(_COMPLETIONS)
        details["finding"] = joined(finding)
    elif unsent:
        details["finding"] = say(
            "{unsent} of {asked} requests were never sent: measure again", unsent=unsent, asked=asked
        )
    return Estimate(complete / asked, "share", asked, None, details)


@of_level("uncached", ("count",), rests_on=nothing)
def uncached(**trials: Trial) -> Estimate:
    """Prompt tokens taken from a prefix cache beyond the frame that all prompts share.

    A cache gives complete blocks only, so of the frame only its complete blocks are allowed, where the
    server reports their size: with two hundred requests the rest of the frame would hide a dozen prompts that
    were cached in full. Raises ConditionAbsent when the server does not report cache hits.
    """
    beyond, requests = 0.0, 0
    first = next(iter(trials.values()))
    advice = probed(first, "metrics", say("/metrics is needed to see that prompts were computed"))
    for level in levels_of(trials):
        hits = _cache_hits(level, advice)
        requests += len(level.requests)
        cached = [each.cached_tokens for each in level.requests if each.cached_tokens is not None]
        shared = level.frame_tokens - level.frame_tokens % (level.cache_block or 1)
        by_request = sum(max(0, each - shared) for each in cached)
        beyond += max(by_request, hits - shared * len(level.requests))
    details: dict[str, Json] = {}
    if beyond > 0:
        details["finding"] = say(
            "{beyond} prompt tokens of {requests} requests came from a prefix cache, though "
            "each has a cache_salt of its own: other traffic, or a cache that ignores salts; "
            "serve with --no-enable-prefix-caching",
            beyond=fixed(beyond, 0),
            requests=requests,
        )
    return Estimate(max(0.0, beyond), "tokens", requests, None, details)


def _cache_hits(level: LoadLevel, advice: str) -> float:
    server = level.server or {}
    if "prefix_cache_hits" not in server:
        raise ConditionAbsent(say("the server tells no prefix-cache hits: {advice}", advice=advice))
    return server["prefix_cache_hits"] + server.get("external_prefix_cache_hits", 0.0)


def _chat_may_spoil(request: RequestTiming, shape: LoadShape) -> bool:
    """Whether the chat endpoint itself may be what spoils a request: a count, or its parser.

    A connection that was lost, or an end mark that is missing, is no matter of the endpoint.
    """
    prompt_tokens, max_tokens = request.asked or (shape.prompt_tokens, shape.max_tokens)
    counts = ((request.prompt_tokens, prompt_tokens), (request.completion_tokens, max_tokens))
    other_count = any(came not in (None, asked) for came, asked in counts)
    error = request.error
    parser = error is not None and (error.kind == "dialect" or ERROR_EVENT in error.message)
    return shape.endpoint == "chat" and (other_count or parser)


def _require_none(reasons: Iterable[str | None]) -> None:
    """Raise InsufficientData with the first reason that is one."""
    for why in reasons:
        if why is not None:
            raise InsufficientData(why)


# -- one level, one or several trials -----------------------------------------------------------


def _of_values(
    trials: Mapping[str, Trial],
    values_of: Callable[[LoadLevel], list[float]],
    statistic: str,
    *,
    independent: bool,
    certify_by: Callable[[LoadLevel], list[float]] | None = None,
) -> Estimate:
    """``certify_by``: one figure a request, where the values themselves are not that."""
    levels = sound_levels(trials)
    values = [values_of(level) for level in levels]
    worth = [
        certified(level, of_requests, PERCENT.get(statistic))
        for level, of_requests in zip(levels, map(certify_by, levels) if certify_by else values, strict=True)
    ]
    figures = [statistic_of(each, statistic) for each in values]
    if len(figures) > 1:
        return over_trials(figures, "ms")
    interval = _interval(values[0], statistic, worth[0]) if independent else None
    details: dict[str, Json] = {} if worth[0] is None else {"effective": worth[0]}
    return Estimate(figures[0], "ms", len(values[0]), interval, details)


def _mean_gaps(level: LoadLevel) -> list[float]:
    """The mean time between events of each request that has two, in order of arrival, ms."""
    found = [gaps(request) for request in in_order(level)]
    return [math.fsum(each) / len(each) for each in found if each]


def _of_spans(
    trials: Mapping[str, Trial], statistic: str, rate: Callable[[Span], float], unit: str
) -> Estimate:
    levels = sound_levels(trials)
    if statistic == FULL and levels[0].shape.arrivals is not None:
        raise InsufficientData(
            say(
                "an open loop keeps no number of requests under way, so there is no full concurrency: gate "
                "the statistic 'whole run'"
            )
        )
    spans = [(full_window if statistic == FULL else whole_run)(level) for level in levels]
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        raise InsufficientData(
            say(
                "the level never had {concurrency} requests under way for long enough: raise "
                "--gptoss-num-requests",
                concurrency=levels[0].shape.concurrency,
            )
        )
    figures = [rate(span) for span in known]
    if len(figures) > 1:
        return over_trials(figures, unit)
    return Estimate(figures[0], unit, len(levels[0].requests))


def _interval(values: Sequence[float], statistic: str, effective: float | None) -> Interval | None:
    """``effective``: how many independent values they are worth; None where each is one."""
    if statistic == "mean":
        return widened(bootstrap_mean(values), statistic_of(values, "mean"), len(values), effective)
    if statistic not in PERCENT:
        return None
    low, high = percentile_bounds(values, PERCENT[statistic], effective=effective)
    return None if low is None or high is None else (low, high)
