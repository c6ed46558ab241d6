"""Which requests of a load level keep the service level that users are promised."""

from __future__ import annotations

from pytest_gptoss.judge.load import first_token, per_token, since_sent, why_incomplete
from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = ["keeps", "kept", "late_alone"]


def keeps(request: RequestTiming, shape: LoadShape) -> bool:
    """Whether a request came whole, with TTFT and TPOT within the service level.

    A request that was asked for a single token has no TPOT, and keeps any limit on it.
    """
    slo = shape.slo or Slo()
    return why_incomplete(request, shape) is None and slo.is_kept(first_token(request), per_token(request))


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
        and slo.is_kept(since_sent(each), per_token(each))
        for each in level.requests
    )
