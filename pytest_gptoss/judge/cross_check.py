"""A load level by the client's count against the server's own."""

from __future__ import annotations

import math
from statistics import median

from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.load import since_sent
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import InstrumentError, LoadLevel

__all__ = ["disagreements", "server_ttft_ms"]


def server_ttft_ms(level: LoadLevel) -> float | None:
    """Mean TTFT by the server's own histogram, ms; None when it tells none."""
    server = level.server or {}
    count = server.get("ttft_count", 0.0)
    mean = server["ttft_seconds"] / count * 1000 if count and "ttft_seconds" in server else math.nan
    return mean if math.isfinite(mean) else None


def disagreements(level: LoadLevel, error: InstrumentError | None) -> list[str]:
    """What the server counts otherwise, a line each: requests, tokens, and TTFT beyond what is explained.

    A difference in TTFT is explained by the instrument's bias and a round trip to the server.
    """
    server = level.server
    if server is None:
        return []
    found: list[str] = []
    counts = {
        "requests": (say("requests"), len(level.requests)),
        "prompt_tokens": (say("prompt tokens"), sum(each.prompt_tokens or 0 for each in level.requests)),
        "generation_tokens": (
            say("output tokens"),
            sum(each.completion_tokens or 0 for each in level.requests),
        ),
    }
    for name, (what, ours) in counts.items():
        theirs = server.get(name)
        if theirs is not None and theirs != ours:
            found.append(
                say(
                    "the server counted {theirs} {what} over the level, {ours} were seen here: does "
                    "other traffic share it?",
                    theirs=fixed(theirs, 0),
                    what=what,
                    ours=ours,
                )
            )
    if not found:
        found += _ttft(level, error)
    return found


def _ttft(level: LoadLevel, error: InstrumentError | None) -> list[str]:
    waits = [wait for request in level.requests if (wait := since_sent(request)) is not None]
    theirs = server_ttft_ms(level)
    if theirs is None or not waits:
        return []
    ours = math.fsum(waits) / len(waits)
    bias = 0.0 if error is None else abs(error.ttft_bias_ms)
    trip = median(level.rtt_ms) if level.rtt_ms else 0.0
    apart = ours - theirs
    if -bias <= apart <= bias + trip:
        return []
    reason = (
        say("time passes between its socket and its engine")
        if apart > 0
        else say("its clock starts before ours does")
    )
    known = say("not calibrated") if error is None else f"{bias:.1f} ms"
    return [
        say(
            "mean TTFT {ours:.1f} ms, by the server's own count {theirs} ms; the instrument "
            "({known}) and a round trip ({trip:.1f} ms) explain less: {reason}",
            ours=ours,
            theirs=fixed(theirs, 1),
            known=known,
            trip=trip,
            reason=reason,
        )
    ]
