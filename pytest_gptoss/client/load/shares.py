"""One job split among several workers, and their runs put together again. Pure arithmetic.

Request i goes to worker i mod N, and so does stream i of a closed loop. So the schedule is the same for any
number of workers, and who sends which part of it can be told from the place in it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.results import LoopHealth, RequestTiming

__all__ = ["in_order", "merged", "shares", "useful", "worst"]


def useful(job: LoadJob, workers: int) -> int:
    """How many of so many workers get a request, and in a closed loop a stream; at least one."""
    most = len(job.requests) if job.due_ns is not None else min(len(job.requests), job.concurrency)
    return max(1, min(workers, most))


def shares(job: LoadJob, workers: int) -> tuple[LoadJob, ...]:
    """The parts of a job, one for each useful worker.

    The streams of a closed loop sum up to the job's. The failures after which a worker gives up are its share
    of the job's: workers whose server stops answering give up after as many as one process would. In an open
    loop, which opens few connections beforehand, each gives up after as many: a share of a few failures would
    be one, and a single failure would end that worker's part of the level.
    """
    count = useful(job, workers)
    return tuple(_share(job, index, count) for index in range(count))


def _share(job: LoadJob, index: int, count: int) -> LoadJob:
    streams = len(range(index, job.concurrency, count))
    give_up = job.give_up_after
    if give_up is not None and job.due_ns is None:
        give_up = max(1, -(-give_up * streams // job.concurrency))
    return replace(
        job,
        requests=tuple(job.requests[index::count]),
        # An open loop may have fewer connections opened beforehand than workers.
        concurrency=max(1, streams),
        give_up_after=give_up,
        due_ns=None if job.due_ns is None else tuple(job.due_ns[index::count]),
    )


def in_order(job: LoadJob, timings: Iterable[RequestTiming]) -> tuple[RequestTiming, ...]:
    """The timings in the order of the job's requests; requests that were never sent are left out."""
    found = {timing.id: timing for timing in timings}
    return tuple(found[request.id] for request in job.requests if request.id in found)


def merged(job: LoadJob, runs: Sequence[LoadRun]) -> LoadRun:
    """One run of the workers' runs, whose stamps are on one clock, one run for each worker."""
    return LoadRun(
        in_order(job, (timing for run in runs for timing in run.requests)),
        worst([run.health for run in runs]),
        min(run.started_ns for run in runs),
        max(run.ended_ns for run in runs),
    )


def worst(healths: Sequence[LoopHealth]) -> LoopHealth:
    """The health of a fleet: in each figure that of the worker that kept up least."""
    if len(healths) == 1:
        return healths[0]
    return LoopHealth(
        max(each.lag_p50_ms for each in healths),
        max(each.lag_p99_ms for each in healths),
        max(each.lag_max_ms for each in healths),
        max(each.cpu_share for each in healths),
        tuple(each.cpu_share for each in healths),
    )
