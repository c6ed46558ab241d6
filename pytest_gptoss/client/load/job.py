"""A job of the load client: the server, the requests, and how many of them at a time."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_gptoss.client.connection import trusted_context
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.load.requests import LoadRequest, LoadRun
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.model.results import RequestTiming
from pytest_gptoss.model.subjects import Role

__all__ = ["Drive", "LoadJob", "LoadTarget"]


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """The server under load and how to reach it.

    ``ca_bundle`` replaces the public certificate authorities. ``trust_env`` is about certificates alone: the
    environment's proxies are never used, because a proxy's delay would count as the server's. ``role``
    chooses the options and variables that messages name.
    """

    endpoint: Endpoint
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_bundle: Path | None = None
    trust_env: bool = False
    role: Role = "npu"

    @property
    def interpreter(self) -> Interpreter:
        """Puts failures of this server into words."""
        return Interpreter(self.endpoint, self.role, f"--{self.role}-url")

    def context(self) -> ssl.SSLContext | None:
        """The certificates to trust, None for plain HTTP. Raises UsageError for an unreadable bundle.

        Loading the public authorities takes some 70 ms: call it once, before the clock starts.
        """
        return trusted_context(self.endpoint, self.ca_bundle, trust_env=self.trust_env)


@dataclass(frozen=True, slots=True)
class LoadJob:
    """Requests for one server, ``concurrency`` of them in flight until all are done (closed loop).

    With ``due_ns`` it is an open loop: each request has the time after the run's beginning at which it is to
    be sent, in nanoseconds and rising, and ``concurrency`` connections are opened beforehand. ``ramp_up_s``:
    a closed loop begins its streams evenly over that time. The requests' ids are unique. After
    ``give_up_after`` failures in a row, without one success between them, no further request is sent; None:
    all are sent whatever happens. ``stop`` is asked after each answer that was read: once it says True, no
    further request is sent, and the run ends when those in flight have been answered. ``begin`` is awaited
    when the requests are encoded and the connections open: it gives the moment at which the run begins, on
    the monotonic clock in ns; None: at once.
    """

    target: LoadTarget
    requests: Sequence[LoadRequest]
    concurrency: int
    give_up_after: int | None = None
    due_ns: Sequence[int] | None = None
    ramp_up_s: float = 0.0
    stop: Callable[[], bool] | None = None
    begin: Callable[[], Awaitable[int]] | None = None


class Drive(Protocol):
    """Runs a job as ``run_load`` does, which does it in this process."""

    def __call__(self, job: LoadJob, *, on_end: Callable[[RequestTiming], None]) -> LoadRun:
        """The job's run; ``on_end`` gets each request's timing, also when this raises."""
