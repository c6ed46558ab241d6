"""Which requests of a load level keep the service level that users are promised."""

from __future__ import annotations

from pytest_gptoss.judge.load import first_token, per_token, since_sent, why_incomplete
from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = ["has_limits", "keeps", "kept", "late_alone"]


def has_limits(slo: Slo | None) -> bool:
    """Whether there is a service level at all: one that limits TTFT or TPOT."""
    return slo is not None and (slo.ttft_ms is not None or slo.tpot_ms is not None)


def keeps(request: RequestTiming, shape: LoadShape) -> bool:
    """Whether a request came whole, with TTFT and TPOT within the service level.

    A request that was asked for a single token has no TPOT, and keeps any limit on it.
    """
    slo = shape.slo or Slo()
    return why_incomplete(request, shape) is None and _within(first_token(request), per_token(request), slo)


def kept(level: LoadLevel) -> list[bool]:
    """Of each request that was asked for whether it keeps the service level, in order of arrival.

    Those that were never sent stand at the end: they do not keep it.
    """
    requests = sorted(level.requests, key=lambda each: each.intended_ns or each.start_ns)
    sent = [keeps(each, level.shape) for each in requests]
    return [*sent, *(False for _ in range(level.shape.requests - len(sent)))]


def late_alone(level: LoadLevel) -> int:
    """Requests that miss the service level only because the client sent them late."""
    shape, slo = level.shape, level.shape.slo or Slo()
    return sum(
        why_incomplete(each, shape) is None
        and not keeps(each, shape)
        and _within(since_sent(each), per_token(each), slo)
        for each in level.requests
    )


def _within(ttft_ms: float | None, tpot_ms: float | None, slo: Slo) -> bool:
    too_late = slo.ttft_ms is not None and (ttft_ms is None or ttft_ms > slo.ttft_ms)
    too_slow = slo.tpot_ms is not None and tpot_ms is not None and tpot_ms > slo.tpot_ms
    return not too_late and not too_slow
