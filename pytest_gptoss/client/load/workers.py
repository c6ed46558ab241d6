"""Load from several processes of this machine: the same driver in each, one schedule, one clock.

All processes of a machine share the monotonic clock, so their stamps merge as they are. A worker runs in a
session of its own: Ctrl-C reaches only this process, which stops the workers and takes what they have.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import IO, cast

from pytest_gptoss.client.load.controller import Controller, Ended, Inbox
from pytest_gptoss.client.load.dispatch import run_load
from pytest_gptoss.client.load.job import LoadJob
from pytest_gptoss.client.load.part import Answer, Order
from pytest_gptoss.client.load.requests import LoadRun
from pytest_gptoss.client.load.shares import useful
from pytest_gptoss.model.key_variables import without_key_variables
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import RequestTiming

__all__ = ["run_in_processes"]

_COMMAND = (sys.executable, "-m", "pytest_gptoss.client.load.worker")
_END_S = 2.0
"""So long a worker may take to end once its stdin is closed, before it is killed."""


def run_in_processes(job: LoadJob, *, workers: int, on_end: Callable[[RequestTiming], None]) -> LoadRun:
    """``run_load`` in so many processes, or in as many as there are requests and streams for.

    Raises what ``run_load`` raises, and WorkerError when a process does not start or ends too early.
    ``on_end`` has then had all that had ended, and no process is left.
    """
    count = useful(job, workers)
    if count == 1:
        return run_load(job, on_end=on_end)
    with _started(count) as (processes, inbox):
        return Controller(job, processes, inbox, on_end).run()


@contextlib.contextmanager
def _started(count: int) -> Iterator[tuple[list[_Process], Inbox]]:
    """So many worker processes, ended on leaving."""
    inbox: Inbox = queue.SimpleQueue()
    with contextlib.ExitStack() as ends:
        processes = []
        for number in range(count):
            process = _Process(number, count, inbox)
            processes.append(process)
            ends.callback(process.end)
        try:
            yield processes, inbox
        finally:
            for process in processes:
                process.let_end()


class _Process:
    """One worker process. A thread puts its answers into the inbox, and at last how it ended."""

    def __init__(self, number: int, count: int, inbox: Inbox) -> None:
        self._number = number
        self._inbox = inbox
        # A file, not a pipe: nobody reads it before the process has ended.
        self._log: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed by ``end``
        self._process = subprocess.Popen(
            _COMMAND,
            env=without_key_variables(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self.name: str = say(
            "load worker {number} of {count} (process {pid})",
            number=number + 1,
            count=count,
            pid=self._process.pid,
        )
        self._reader = threading.Thread(target=self._read, name="gptoss-answers", daemon=True)
        self._reader.start()

    def send(self, order: Order) -> None:
        """Send an order; nothing happens when the process has ended."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            pickle.dump(order, self._orders)
            self._orders.flush()

    @property
    def offset_ns(self) -> int:
        """None: all processes of a machine share the clock."""
        return 0

    def let_end(self) -> None:
        """Close the process's stdin, which ends it soon."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()

    def end(self) -> None:
        """Wait for the process's end; kill it when that takes too long."""
        self.let_end()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()  # nothing where it has ended
            self._process.wait()
        self._reader.join()
        self._log.close()

    @property
    def _orders(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdin)

    def _read(self) -> None:
        try:
            with cast("IO[bytes]", self._process.stdout) as answers:
                while True:
                    answer: Answer = pickle.load(answers)  # noqa: S301 - from a process of ours
                    self._inbox.put((self._number, answer))
        except (EOFError, pickle.UnpicklingError):
            pass  # it has ended, or was ended in the middle of a word
        finally:
            self._inbox.put((self._number, Ended(self._how_it_ended())))

    def _how_it_ended(self) -> str:
        status = self._process.wait()
        if status < 0:
            return say("ended by {signal}", signal=signal.Signals(-status).name)
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if last:
            return say("exit status {status}: {last}", status=status, last=last[:300])
        return say("exit status {status}", status=status)
