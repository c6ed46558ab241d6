"""The capacity that probes show: a figure with its interval, or why there is only a bound or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.intervals import Interval
from pytest_gptoss.model.capacity import CapacityProbe, confirmed, nearest
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["capacity_of", "why_failing"]

LATE = 0.05
"""Of the limit on TTFT, the most that the client may send late where a rate does not keep the level."""


def capacity_of(probes: Sequence[CapacityProbe]) -> Estimate:
    """The middle of the narrowest bracket in requests/s; the interval reaches to the rates that are sure.

    No interval where a side of it is not sure. Raises InsufficientData where all rates kept the service level
    or none did, where the client was late at the rate that did not, and where TPOT has a limit and the tokens
    were held back on the way at a rate that seems to keep it.
    """
    buffered = _why_buffered(probes)
    if buffered is not None:
        raise InsufficientData(buffered)
    found, sure = nearest(probes), confirmed(probes)
    if found.low is None or found.high is None:
        raise InsufficientData(_why_unbounded(probes))
    late = _why_late([each for each in probes if each.rate == found.high])
    if late is not None:
        raise InsufficientData(late)
    interval: Interval | None = None
    if sure.low is not None and sure.high is not None:
        interval = (sure.low, sure.high)
    return Estimate((found.low + found.high) / 2, "req/s", len(probes), interval, _details(probes))


def why_failing(probes: Sequence[CapacityProbe]) -> str | None:
    """What failed at the rates tried, in a line; None where every request was answered."""
    failing = [each for each in probes if each.failed]
    if not failing:
        return None
    least = min(failing, key=lambda each: each.rate)
    return say(
        "at {rate} requests/s {failed} of {requests} requests failed, first {why}",
        rate=f"{least.rate:g}",
        failed=least.failed,
        requests=least.requests,
        why=least.failure or "",
    )


def _why_unbounded(probes: Sequence[CapacityProbe]) -> str:
    if not probes:
        return say("no rate was probed: measure again")
    rates = [each.rate for each in probes]
    if nearest(probes).low is None:
        return say(
            "even {rate} requests/s do not keep the service level: {why}",
            rate=f"{min(rates):g}",
            why=why_failing(probes) or _slow(min(probes, key=lambda each: each.rate)),
        )
    return say(
        "{rate} requests/s still keep the service level, and nothing beyond was tried: the capacity is "
        "higher; allow a higher rate",
        rate=f"{max(rates):g}",
    )


def _slow(probe: CapacityProbe) -> str:
    return say(
        "{share} of its requests do, the median TTFT is {ttft} ms",
        share=f"{probe.goodput:.1%}",
        ttft="-" if probe.ttft_p50_ms is None else fixed(probe.ttft_p50_ms, 1),
    )


def _why_buffered(probes: Sequence[CapacityProbe]) -> str | None:
    for each in probes:
        if each.task.slo.tpot_ms is not None and each.keeps and 2 * each.buffered > each.requests:
            return say(
                "at {rate} requests/s the token events of {held} of {requests} requests came buffered, so no "
                "TPOT is known: turn off the buffering of what stands between (nginx: proxy_buffering off)",
                rate=f"{each.rate:g}",
                held=each.buffered,
                requests=each.requests,
            )
    return None


def _why_late(failing: Sequence[CapacityProbe]) -> str | None:
    limit = failing[0].task.slo.ttft_ms
    worst = max(failing, key=lambda each: each.send_delay_ms)
    if limit is None or worst.send_delay_ms <= LATE * limit:
        return None
    return say(
        "at {rate} requests/s the client was late, not the server: it sent {delay} ms late (95th "
        "percentile), more than 5% of the limit on TTFT; use a machine with nothing else to do",
        rate=f"{worst.rate:g}",
        delay=fixed(worst.send_delay_ms, 1),
    )


def _details(probes: Sequence[CapacityProbe]) -> dict[str, Json]:
    told = [
        {
            "rate": each.rate,
            "goodput": each.goodput,
            "goodput_interval": [each.low, each.high],
            "decided": each.decided,
            "requests": each.requests,
            "failed": each.failed,
            "seconds": each.seconds,
            "ttft_p50_ms": each.ttft_p50_ms,
            "ttft_p95_ms": each.ttft_p95_ms,
            "send_delay_ms": each.send_delay_ms,
        }
        for each in probes
    ]
    details: dict[str, Json] = {"slo": asdict(probes[0].task.slo), "probes": told}
    failing = why_failing(probes)
    return details if failing is None else {**details, "finding": failing}
