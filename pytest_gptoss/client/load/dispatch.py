"""A job of the load client, done by the loop that it asks for."""

from __future__ import annotations

from collections.abc import Callable

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.load.closed_loop import run_closed_loop
from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.open_loop import run_open_loop
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.model.results import RequestTiming

__all__ = ["run_load"]


def run_load(job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """Do a job from synchronous code, on a new event loop: uvloop's when installed.

    An open loop where the job says when each request is due, else a closed one; see ``load_loop.drive``.
    """
    run = run_closed_loop if job.due_ns is None else run_open_loop
    return run_async(run(job, on_end=on_end), fast=True)
