"""A load worker as a Ray actor: orders come in as calls, answers are fetched by calls."""

from __future__ import annotations

import os
import queue
import threading
import traceback
from time import monotonic_ns

from pytest_gptoss import __version__
from pytest_gptoss.client.load.part import Answer, Begin, Halt, Order, Part, PartRunner, Stop, Stopped, Up

__all__ = ["LoadActor"]

_WAIT_S = 0.5
"""So long a call waits for an answer: fewer calls disturb the load less."""


class LoadActor:
    """One worker. Its calls run on several threads: it takes orders while a call waits for answers."""

    def __init__(self) -> None:
        self._outbox: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._runner = PartRunner(self._outbox.put)
        self._begun = False
        self._outbox.put(Up())

    def version(self) -> str:
        """The version of the suite on this node."""
        return __version__

    def clock_ns(self) -> int:
        """The node's monotonic clock now."""
        return monotonic_ns()

    def order(self, order: Order) -> None:
        """Take an order; the work goes on beside the calls."""
        if isinstance(order, Part):
            self._begun = True
            threading.Thread(target=self._carry_out, args=(order,), name="gptoss-part", daemon=True).start()
        elif isinstance(order, Begin):
            self._runner.begin(order.at_ns)
        elif isinstance(order, Halt):
            self._runner.halt()
        elif isinstance(order, Stop):
            self._runner.stop()
            if not self._begun:
                self._outbox.put(Stopped())

    def take(self) -> list[Answer]:
        """The answers since the last call, in their order; may be none after a short wait."""
        answers: list[Answer] = []
        try:
            answers.append(self._outbox.get(timeout=_WAIT_S))
            while True:
                answers.append(self._outbox.get_nowait())
        except queue.Empty:
            return answers

    def _carry_out(self, part: Part) -> None:
        try:
            self._runner.run(part)
        except Exception:  # a fault of ours: the worker's log has it, and the controller sees it end
            traceback.print_exc()
            os._exit(1)
