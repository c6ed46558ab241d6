"""Open levels of a run: how large they are, and when each of their requests is due."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gptoss.model.arrivals import Arrivals, Slo, TraceFile, warm_up_of
from pytest_gptoss.model.errors import RequestError, UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.message import say
from pytest_gptoss.scenarios.arrival_times import arrival_times, ramped_s
from pytest_gptoss.scenarios.trace_file import MOST_PROMPT_TOKENS, TracePart, read_trace

__all__ = ["Schedule", "closed_like", "open_level", "resolved", "schedule_of", "trace_level", "with_slo"]

NS_PER_S = 10**9


def open_level(known: LoadShape | None, like: LoadShape, rate: float, task: LoadTask) -> LoadShape:
    """The level of ``--gptoss-rate``: the profile's of that rate, or one with requests like another's."""
    arrivals = Arrivals(rate, task.law, task.cv)
    if known is not None:
        stays = arrivals == Arrivals(rate)  # the options name no law
        return known if stays else dataclasses.replace(known, arrivals=arrivals)
    return dataclasses.replace(like, concurrency=warm_up_of(rate), arrivals=arrivals, ramp_up_s=0.0)


def closed_like(shape: LoadShape, rounds: int) -> LoadShape:
    """An open level's requests in a closed loop, ``rounds`` for each one in flight or more."""
    requests = max(shape.requests, rounds * shape.concurrency)
    return dataclasses.replace(shape, requests=requests, arrivals=None, ramp_up_s=0.0, duration_s=None)


def trace_level(path: Path, *, speed: float, most: int | None, duration_s: float | None) -> LoadShape:
    """The level of a trace; raises UsageError that names the file and the line."""
    part = read_trace(path, speed=speed, most=most, duration_s=duration_s)
    requests = part.requests
    seconds = requests[-1].at_ns / NS_PER_S
    rate = (len(requests) - 1) / seconds if seconds else float(len(requests))
    return LoadShape(
        concurrency=min(warm_up_of(rate), len(requests)),
        requests=len(requests),
        prompt_tokens=max(each.prompt_tokens for each in requests),
        max_tokens=max(each.output_tokens for each in requests),
        endpoint="completions",
        arrivals=Arrivals(rate, "trace", trace=TraceFile(str(path), part.sha256, speed)),
        duration_s=duration_s,
        longest=max(each.prompt_tokens + each.output_tokens for each in requests),
    )


def resolved(name: str, shape: LoadShape, task: LoadTask) -> LoadShape:
    """An open level with as many requests as it will have; what the user says ends it in the profile's place.

    Raises UsageError where not one request comes, or more than memory holds.
    """
    arrivals = shape.arrivals
    if arrivals is None:
        raise ValueError("a closed loop has its requests")
    arrivals = dataclasses.replace(arrivals, seed=task.seed)
    if task.requests is None and task.duration_s is None:
        count, duration_s = shape.requests or None, shape.duration_s
    else:
        count, duration_s = task.requests, task.duration_s
    _refuse_large(name, shape, arrivals.rate, count, duration_s)
    due = arrival_times(arrivals, count=count, duration_s=duration_s, ramp_up_s=shape.ramp_up_s)
    if not due:
        raise UsageError(
            f"load level {name}: not one request comes within {duration_s:g} s: raise --gptoss-duration, or "
            "give --gptoss-num-requests in its place"
        )
    return dataclasses.replace(shape, arrivals=arrivals, requests=len(due), duration_s=duration_s)


def _refuse_large(
    name: str, shape: LoadShape, rate: float, count: int | None, duration_s: float | None
) -> None:
    expected = min(count or math.inf, math.inf if duration_s is None else rate * duration_s)
    if expected * shape.prompt_tokens > MOST_PROMPT_TOKENS:
        raise UsageError(
            f"load level {name}: some {expected:,.0f} prompts of {shape.prompt_tokens} tokens are more than "
            f"the {MOST_PROMPT_TOKENS:,} tokens that are kept in memory: lower --gptoss-num-requests, "
            "--gptoss-duration or --gptoss-prompt-len"
        )


def with_slo(shape: LoadShape, task: LoadTask) -> LoadShape:
    """The level with the user's service level over the profile's.

    Raises UsageError for a share without a limit that it were the share of.
    """
    given = {"ttft_ms": task.slo_ttft_ms, "tpot_ms": task.slo_tpot_ms, "share": task.slo_share}
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        return shape
    slo = dataclasses.replace(shape.slo or Slo(), **said)
    if slo.ttft_ms is None and slo.tpot_ms is None:
        raise UsageError(
            f"--gptoss-slo-share is {slo.share:g}, and there is no limit to keep: add --gptoss-slo-ttft or "
            "--gptoss-slo-tpot"
        )
    return dataclasses.replace(shape, slo=slo)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the requests of a level are due, in ns after its beginning; None for a closed loop.

    ``lengths``: prompt and output tokens of each request of a trace; None where all are alike.
    """

    due_ns: Sequence[int] | None = None
    lengths: Sequence[tuple[int, int]] | None = None


def schedule_of(shape: LoadShape, *, trial: int = 0) -> Schedule:
    """The schedule of a level; raises RequestError where a trace cannot be read any more."""
    arrivals = shape.arrivals
    if arrivals is None:
        return Schedule()
    if arrivals.trace is None:
        return Schedule(arrival_times(arrivals, count=shape.requests, ramp_up_s=shape.ramp_up_s, trial=trial))
    requests = _same_trace(arrivals.trace, shape.requests).requests
    due = [round(ramped_s(each.at_ns / NS_PER_S, shape.ramp_up_s) * NS_PER_S) for each in requests]
    return Schedule(due, [(each.prompt_tokens, each.output_tokens) for each in requests])


def _same_trace(trace: TraceFile, requests: int) -> TracePart:
    """The trace once more; raises RequestError where it is another one than when the run began."""
    try:
        part = read_trace(Path(trace.path), speed=trace.speed, most=requests)
    except UsageError as error:
        raise RequestError(
            say("the trace cannot be read any more ({error}): measure again", error=error)
        ) from None
    if part.sha256 != trace.sha256:
        raise RequestError(
            say("--gptoss-trace {path}: it has changed since the run began: measure again", path=trace.path)
        )
    return part
