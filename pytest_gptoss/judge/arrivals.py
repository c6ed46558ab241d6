"""Whether token events arrived as they were generated, or held back and handed over together.

A proxy that buffers hands a stream over at its end, or in blocks; the stamps then say when a block was full,
not when a token was there, and a time between them can be near zero on a server of any pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_gptoss.judge.cross_check import server_ttft_ms
from pytest_gptoss.judge.load import since_sent
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = ["arrivals", "is_buffered", "why_buffered"]

ONE_ARRIVAL_NS = 1_000_000
"""Token events so near to each other are one arrival: what is flushed at once can take several writes of a
proxy's and reads of the client's, tenths of a millisecond apart. No GPT-OSS sends 1,000 events a second for
one request; what it generates in one step (speculative decoding) is fewer than ``GROUP`` events."""

GROUP = 4
"""Events of one arrival from which on they were held back: a busy client reads two or three at once."""

SHOWN = 4
"""Arrivals that a message lists."""

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


def why_buffered(level: LoadLevel) -> str | None:
    """Why a level's stamps do not tell its latencies, in a line; None when they do.

    They do not when over half of its requests came buffered. The server's own mean TTFT stands beside the
    one seen here, where it is told.
    """
    held = [request for request in level.requests if is_buffered(request)]
    if 2 * len(held) <= len(level.requests):
        return None
    first = held[0]
    sizes = [str(size) for size in arrivals(first.token_ns)]
    listed = ", ".join(sizes if len(sizes) <= SHOWN else [*sizes[:SHOWN], "..."])
    return say(
        "token events came buffered in {held} of {requests} requests: {id} brought "
        "{token_ns} in arrivals of {listed} events, so their stamps do not tell when "
        "tokens were generated{level}; turn off the buffering of what stands between "
        "(nginx: proxy_buffering off, or the answer header X-Accel-Buffering: no), and "
        "see that server and client are not short of CPU",
        held=len(held),
        requests=len(level.requests),
        id=first.id,
        token_ns=len(first.token_ns),
        listed=listed,
        level=_server_count(level),
    )


def _grouped(request: RequestTiming) -> int:
    return sum(size for size in arrivals(request.token_ns) if size >= GROUP)


def _server_count(level: LoadLevel) -> str:
    """Both mean TTFTs, where the server's histogram counts these requests and no others."""
    theirs = server_ttft_ms(level)
    ours = [wait for request in level.requests if (wait := since_sent(request)) is not None]
    if theirs is None or not ours or (level.server or {}).get("ttft_count") != len(level.requests):
        return ""
    return say(
        " (mean TTFT {ours:.1f} ms here, {theirs:.1f} ms by the server's own count)",
        ours=sum(ours) / len(ours),
        theirs=theirs,
    )
