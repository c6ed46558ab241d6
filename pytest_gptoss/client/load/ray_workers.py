"""Load from several machines: each worker is a Ray actor on one of a cluster's nodes.

Nodes have clocks of their own. A worker measures durations on its node's; the offset to this machine's clock
is estimated by round trips before and after a level, and each request is moved as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from pytest_gptoss import __version__
from pytest_gptoss.client.load.clocks import Clock, read_clock
from pytest_gptoss.client.load.controller import START_S, Controller, Ended, Inbox, WorkerError
from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.part import Failed, Order, Stopped
from pytest_gptoss.client.load.ray_actor import LoadActor
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.client.load.shares import useful
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import RequestTiming

__all__ = ["AUTO", "connect", "nodes", "on_nodes", "run_on_ray"]

AUTO = "auto"
_REACH_S = 5.0
_CALLS = 4
"""Calls that an actor serves at once: fetching answers, an order, and its clock."""


def connect(address: str) -> None:
    """Join the cluster at HOST:PORT, or the one that this machine is a node of (``auto``).

    Raises UsageError where Ray is not installed or no cluster answers there.
    """
    try:
        import ray
    except ImportError:
        raise UsageError(
            f"--gptoss-ray {address}: Ray is not installed: pip install 'pytest-gptoss[ray]'"
        ) from None
    if ray.is_initialized():
        return
    try:
        if address != AUTO:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _REACH_S).close()
        with warnings.catch_warnings(), _own_sigterm():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"--gptoss-ray {address}: no Ray cluster can be joined there "
            f"({' '.join(str(error).split())[:200]}): start one with ray start --head, and make this machine "
            "a node of it with ray start --address HOST:PORT"
        ) from None


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep what this process does on SIGTERM: Ray would put a handler of its own in its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def nodes() -> list[dict[str, Any]]:
    """The nodes that have a CPU for a worker, as Ray tells them."""
    import ray

    return [each for each in ray.nodes() if each["Alive"] and each["Resources"].get("CPU", 0) >= 1]


def run_on_ray(
    job: LoadJob, *, address: str, workers: int | None, on_end: Callable[[RequestTiming], None]
) -> LoadRun:
    """``run_load`` on a cluster's nodes, one worker on each unless ``workers`` says how many.

    Stamps are on this machine's clock; ``health.clock_error_ms`` says by how much they may be off each other.
    Raises WorkerError when a worker does not start, has another version of the suite or ends too early;
    UsageError when there is no cluster; and what ``run_load`` raises.
    """
    connect(address)
    places = nodes()
    if not places:
        raise WorkerError(
            say("no node of the Ray cluster has a CPU for a load worker: start its nodes with --num-cpus")
        )
    with _started(places, useful(job, workers or len(places))) as (actors, inbox):
        run = Controller(job, actors, inbox, on_end).run()
        error_ns = max(each.clock_error_ns() for each in actors)
    return replace(run, health=replace(run.health, clock_error_ms=error_ns / 1e6))


def on_nodes(
    work: Callable[..., Any], parts: Sequence[tuple[Any, ...]], *, address: str
) -> list[tuple[str, Any]]:
    """Call ``work`` once for each part, on one node after the other as the workers of a level are.

    Returns each worker's name with what came back, or with a WorkerError. Raises UsageError when there is no
    cluster.
    """
    connect(address)
    import ray

    places = nodes()
    calls = []
    for number, part in enumerate(parts):
        place = places[number % len(places)]
        call = ray.remote(work).options(num_cpus=1, scheduling_strategy=_on(place)).remote(*part)
        calls.append((_name(number, len(parts), place), call))
    return [(name, _fetched(name, call, START_S)) for name, call in calls]


def _fetched(name: str, call: Any, within_s: float) -> Any:
    """What a call gave, or a WorkerError that says why it gave nothing."""
    import ray

    try:
        return ray.get(call, timeout=within_s)
    except ray.exceptions.GetTimeoutError:
        reason: str = say("not ready within {seconds:g} s", seconds=within_s)
    except ray.exceptions.RayError as error:
        reason = _in_a_line(error)
    return WorkerError(
        say(
            "{worker} does not answer ({reason}): see that its node is up, has a free CPU and has "
            "pytest-gptoss installed, then measure again",
            worker=name,
            reason=reason,
        )
    )


def _name(number: int, count: int, place: dict[str, Any]) -> str:
    return say(
        "Ray worker {number} of {count} (node {node})",
        number=number + 1,
        count=count,
        node=place["NodeManagerAddress"],
    )


def _on(place: dict[str, Any]) -> Any:
    """How Ray is told to run something on one node and on no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(place["NodeID"], soft=False)


@contextlib.contextmanager
def _started(places: Sequence[dict[str, Any]], count: int) -> Iterator[tuple[list[_Actor], Inbox]]:
    """So many actors, one node after the other; killed on leaving."""
    inbox: Inbox = SimpleQueue()
    with contextlib.ExitStack() as ends:
        actors = []
        for number in range(count):
            actor = _Actor(number, count, places[number % len(places)], inbox)
            actors.append(actor)
            ends.callback(actor.end)
        for actor in actors:
            actor.begin()
        yield actors, inbox


class _Actor:
    """One actor. A thread puts its answers into the inbox, and at last how it ended."""

    def __init__(self, number: int, count: int, place: dict[str, Any], inbox: Inbox) -> None:
        import ray

        self._number = number
        self._inbox = inbox
        self._clock = Clock()
        self.name = _name(number, count, place)
        made = ray.remote(LoadActor).options(
            num_cpus=1,
            max_concurrency=_CALLS,
            scheduling_strategy=_on(place),
        )
        self._actor = made.remote()
        self._reader = threading.Thread(target=self._read, name="gptoss-answers", daemon=True)

    def begin(self) -> None:
        """Wait until it has started; check its version and read its clock. Raises WorkerError."""
        version = self._ask("version", START_S)
        if version != __version__:
            raise WorkerError(
                say(
                    "{worker} has pytest-gptoss {theirs} and this machine {ours}: install one version on all "
                    "nodes",
                    worker=self.name,
                    theirs=version,
                    ours=__version__,
                )
            )
        self._clock = read_clock(lambda: int(self._ask("clock_ns", START_S)))
        self._reader.start()

    @property
    def offset_ns(self) -> int:
        """Its clock less this machine's."""
        return self._clock.offset_ns

    def clock_error_ns(self) -> int:
        """Read its clock again; by how much its stamps may be off on this machine's clock."""
        return self._clock.error_until(read_clock(lambda: int(self._ask("clock_ns", START_S))))

    def send(self, order: Order) -> None:
        """Send an order; nothing happens when the actor has ended."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError):
            self._actor.order.remote(order)

    def end(self) -> None:
        """Kill the actor: all that it had to tell has been fetched."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor)
        if self._reader.is_alive():
            self._reader.join(START_S)

    def _ask(self, method: str, within_s: float) -> Any:
        found = _fetched(self.name, getattr(self._actor, method).remote(), within_s)
        if isinstance(found, WorkerError):
            raise found
        return found

    def _read(self) -> None:
        import ray

        try:
            while True:
                for answer in ray.get(self._actor.take.remote()):
                    self._inbox.put((self._number, answer))
                    if isinstance(answer, LoadRun | Stopped | Failed):
                        return
        except ray.exceptions.RayError as error:
            self._inbox.put((self._number, Ended(_in_a_line(error))))


def _in_a_line(error: Exception) -> str:
    """The beginning of an error of Ray's, which takes many lines."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
