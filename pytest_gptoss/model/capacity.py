"""Capacity under a service level: what is asked for, what one probe found, and what several say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.inputs import LoadEndpoint

__all__ = ["Bracket", "CapacityProbe", "CapacityTask", "confirmed", "nearest"]


@dataclass(frozen=True, slots=True)
class CapacityTask:
    """The highest rate is looked for at which ``slo.share`` of the requests keep ``slo``.

    Each request has so many tokens in and out. A probe sends requests for ``probe_s`` seconds at most, at
    random times drawn from ``seed``. Rates, in requests a second, lie between ``least_rate`` and
    ``most_rate``; ``first_rate`` is tried first.
    """

    slo: Slo
    prompt_tokens: int
    max_tokens: int
    endpoint: LoadEndpoint = "completions"
    probe_s: float = 120.0
    first_rate: float = 1.0
    least_rate: float = 0.01
    most_rate: float = 1000.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CapacityProbe:
    """Requests sent at one ``rate``, and how many of those that count ``kept`` the service level.

    The first requests, sent before the server's load has settled, do not count. ``low`` and ``high`` are
    the 95% interval of the share that keeps it. ``failed`` of those that count had no whole answer, first
    for the reason ``failure``; the tokens of ``buffered`` were held back on the way. ``send_delay_ms``: 95th
    percentile of how late the client sent them; TTFT counts from when they were to be sent, None where no
    answer told one.
    """

    task: CapacityTask
    rate: float
    seconds: float
    requests: int
    kept: int
    low: float
    high: float
    failed: int
    send_delay_ms: float
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    failure: str | None = None
    buffered: int = 0

    @property
    def goodput(self) -> float:
        """The share of requests that keep the service level."""
        return self.kept / self.requests if self.requests else 0.0

    @property
    def keeps(self) -> bool:
        """Whether the rate is sustained, by the share alone."""
        return self.goodput >= self.task.slo.share

    @property
    def decided(self) -> bool:
        """Whether the interval excludes the share that is asked for."""
        return self.low > self.task.slo.share or self.high < self.task.slo.share


@dataclass(frozen=True, slots=True)
class Bracket:
    """``low`` is a rate that is sustained, ``high`` one that is not; None where there is no such rate."""

    low: float | None
    high: float | None


def nearest(probes: Sequence[CapacityProbe]) -> Bracket:
    """The narrowest bracket, undecided probes included: several at one rate count by all their requests."""
    sustained = {rate: _sustained([each for each in probes if each.rate == rate]) for rate in _rates(probes)}
    high = min((rate for rate, keeps in sustained.items() if not keeps), default=None)
    below = (rate for rate, keeps in sustained.items() if keeps and (high is None or rate < high))
    return Bracket(max(below, default=None), high)


def confirmed(probes: Sequence[CapacityProbe]) -> Bracket:
    """The bracket of which each end was decided by every probe, and by none beyond it otherwise.

    So an undecided probe, or one that contradicts another, widens it.
    """
    keeping = {each.rate for each in probes if each.decided and each.keeps}
    failing = {each.rate for each in probes if each.decided and not each.keeps}
    open_to_doubt = {each.rate for each in probes if not each.decided} | (keeping & failing)
    low = (rate for rate in keeping - open_to_doubt if all(rate < each for each in failing))
    high = (rate for rate in failing - open_to_doubt if all(rate > each for each in keeping))
    return Bracket(max(low, default=None), min(high, default=None))


def _rates(probes: Iterable[CapacityProbe]) -> set[float]:
    return {each.rate for each in probes}


def _sustained(probes: Sequence[CapacityProbe]) -> bool:
    kept, requests = sum(each.kept for each in probes), sum(each.requests for each in probes)
    return requests > 0 and kept >= probes[0].task.slo.share * requests
