"""Token events by the moments at which they arrived, and whether they were held back on the way.

A proxy that buffers hands a stream over at its end, or in blocks; the stamps then say when a block was full,
not when a token was there, and a time between them can be near zero on a server of any pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_gptoss.model.results import RequestTiming

__all__ = ["arrivals", "is_buffered"]

ONE_ARRIVAL_NS = 1_000_000
"""Token events so near to each other are one arrival: what is flushed at once can take several writes of a
proxy's and reads of the client's, tenths of a millisecond apart. No GPT-OSS sends 1,000 events a second for
one request; what it generates in one step (speculative decoding) is fewer than ``GROUP`` events."""

GROUP = 4
"""Events of one arrival from which on they were held back: a busy client reads two or three at once."""

LEAST_EVENTS = 8
"""So many events must have come in groups; of an answer with fewer, all events in one arrival."""


def arrivals(token_ns: Sequence[int]) -> list[int]:
    """The number of token events in each arrival, in order.

    An arrival is a run of events of which each was stamped at most a millisecond after the one before.
    Events that one read has brought share its stamp, and so belong to one arrival.
    """
    if not token_ns:
        return []
    sizes = [1]
    for before, after in pairwise(token_ns):
        if after - before <= ONE_ARRIVAL_NS:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def is_buffered(request: RequestTiming) -> bool:
    """Whether over half of a request's token events, at least 8, arrived in groups of 4 or more.

    Of a request with 2 to 7 token events: whether all came in one arrival, so that no time lies between
    them. Several tokens in one event are one event here.
    """
    events = len(request.token_ns)
    if events < LEAST_EVENTS:
        return events > 1 and len(arrivals(request.token_ns)) == 1
    grouped = _grouped(request)
    return grouped >= LEAST_EVENTS and 2 * grouped > events


def _grouped(request: RequestTiming) -> int:
    return sum(size for size in arrivals(request.token_ns) if size >= GROUP)
