"""Whether a load level's token events arrived as they were generated, or held back and handed over together.

What counts as held back, ``model/token_arrivals.py`` says.
"""

from __future__ import annotations

from pytest_gptoss.judge.cross_check import server_ttft_ms
from pytest_gptoss.judge.load import since_sent
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.model.token_arrivals import arrivals, is_buffered

__all__ = ["why_buffered"]

SHOWN = 4
"""Arrivals that a message lists."""


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
