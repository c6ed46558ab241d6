"""What one probe of capacity has seen so far: which requests kept the service level, and if that is enough.

Requests sent in the first part of a probe do not count: the load that they meet is not yet that of the rate.
The interval is looked at a few times only: a figure that is looked at often crosses any line by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pytest_gptoss.model.capacity import CapacityProbe, CapacityTask
from pytest_gptoss.model.results import RequestTiming
from pytest_gptoss.model.token_arrivals import is_buffered
from pytest_gptoss.scenarios.batch_means import share_interval

__all__ = ["LOOKS", "TRANSIENT", "ProbeRecord", "keeps"]

TRANSIENT = 0.2
"""The part of a probe's time whose requests do not count."""
LOOKS = (0.4, 0.6, 0.8)
"""Parts of a probe's time after which it may end early."""
_NS = 1e9
_MS = 1e6


class ProbeRecord:
    """Takes the requests of one probe as they end. ``due_ns``: when each was to be sent, rising."""

    def __init__(self, task: CapacityTask, rate: float, due_ns: Sequence[int]) -> None:
        self._task = task
        self._rate = rate
        self._due_ns = due_ns
        self._ended: dict[int, RequestTiming] = {}
        self._known = 0
        self._looks = [look * task.probe_s * _NS for look in reversed(LOOKS)]
        self._result: CapacityProbe | None = None

    def add(self, place: int, timing: RequestTiming) -> None:
        """Take the request that was the ``place``-th to be sent, failed ones included."""
        self._ended[place] = timing
        while self._known in self._ended:
            self._known += 1
        since_ns = timing.end_ns - (timing.intended_ns or 0) + self._due_ns[place]
        if self._result is None and self._looks and since_ns >= self._looks[-1]:
            self._looks.pop()
            self._look(since_ns / _NS)

    @property
    def decided(self) -> bool:
        """Whether the probe may end: its interval excludes the share that is asked for."""
        return self._result is not None

    def result(self) -> CapacityProbe:
        """The probe: as it was when it was decided, or else over all requests that were sent."""
        found = self._result or self._probe(self._task.probe_s, sorted(self._ended))
        # Here and not at each look: it goes through every token, and requests are still being sent then.
        counted = self._counting(sorted(self._ended))[: found.requests]
        return replace(found, buffered=sum(map(is_buffered, counted)))

    def _look(self, seconds: float) -> None:
        # Up to the first request whose fate is open: what has ended beyond it are the quicker ones.
        probe = self._probe(seconds, range(self._known))
        self._result = probe if probe.decided else None

    def _counting(self, places: Sequence[int]) -> list[RequestTiming]:
        """The requests that count, in the order of these places."""
        first_ns = TRANSIENT * self._task.probe_s * _NS
        return [self._ended[each] for each in places if self._due_ns[each] >= first_ns]

    def _probe(self, seconds: float, places: Sequence[int]) -> CapacityProbe:
        task, counted = self._task, self._counting(places)
        kept = [keeps(each, task) for each in counted]
        low, high = share_interval(kept)
        failures = [each.error.message for each in counted if each.error is not None]
        ttft = [first for each in counted if (first := _first_token_ms(each)) is not None]
        late = [
            (each.sent_ns - (each.intended_ns or 0)) / _MS for each in counted if each.sent_ns is not None
        ]
        return CapacityProbe(
            task,
            self._rate,
            round(seconds, 3),
            requests=len(kept),
            kept=sum(kept),
            low=low,
            high=high,
            failed=len(failures),
            send_delay_ms=_percentile(late, 0.95) or 0.0,
            ttft_p50_ms=_percentile(ttft, 0.5),
            ttft_p95_ms=_percentile(ttft, 0.95),
            failure=failures[0] if failures else None,
        )


def keeps(timing: RequestTiming, task: CapacityTask) -> bool:
    """Whether a request keeps the service level: answered whole, within its limits from the intended send."""
    if timing.error is not None or timing.completion_tokens not in (None, task.max_tokens):
        return False
    first = _first_token_ms(timing)
    return first is not None and task.slo.is_kept(first, _per_token_ms(timing))


def _first_token_ms(timing: RequestTiming) -> float | None:
    if not timing.token_ns:
        return None
    return (timing.token_ns[0] - (timing.intended_ns or timing.start_ns)) / _MS


def _per_token_ms(timing: RequestTiming) -> float:
    """Mean time between tokens after the first event; 0 of an answer that came in one event."""
    later = sum(timing.tokens[1:])
    return (timing.token_ns[-1] - timing.token_ns[0]) / _MS / later if later else 0.0


def _percentile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
