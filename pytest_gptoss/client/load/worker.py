"""A load worker as a process: orders come in on stdin, answers go out on stdout, both as pickles.

Only the process that started it writes to its stdin: pickles are safe there, and they keep messages what
they are. It ends when its stdin does, so it never outlives that process. SIGINT is ignored: who started it
decides when it stops.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO, TypeAlias

from pytest_gptoss.client.load.part import Answer, Begin, Halt, Order, Part, PartRunner, Stop, Up

__all__ = ["main"]

_Outbox: TypeAlias = "queue.SimpleQueue[Answer | None]"


def main() -> None:
    """Carry out one part, then end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, answers = sys.stdin.buffer, _answers()
    outbox: _Outbox = queue.SimpleQueue()
    parts: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
    runner = PartRunner(outbox.put)
    # Pickling and writing beside the event loop: a pipe that is full must not hold up stamps.
    writer = threading.Thread(target=_write, args=(answers, outbox), name="gptoss-answers", daemon=True)
    writer.start()
    outbox.put(Up())
    threading.Thread(
        target=_read, args=(orders, runner, parts.put), name="gptoss-orders", daemon=True
    ).start()
    part = parts.get()
    if part is not None:
        runner.run(part)
    outbox.put(None)
    writer.join()


def _answers() -> IO[bytes]:
    """The stream for answers; what anything else prints goes to stderr from now on."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def _write(stream: IO[bytes], outbox: _Outbox) -> None:
    try:
        while (answer := outbox.get()) is not None:
            pickle.dump(answer, stream)
            stream.flush()
    except BrokenPipeError:
        os._exit(1)


def _read(stream: IO[bytes], runner: PartRunner, take: Callable[[Part | None], None]) -> None:
    while True:
        try:
            order: Order = pickle.load(stream)  # noqa: S301 - from the process that started this one
        except (EOFError, pickle.UnpicklingError):
            os._exit(1)
        if isinstance(order, Part):
            take(order)
        elif isinstance(order, Begin):
            runner.begin(order.at_ns)
        elif isinstance(order, Halt):
            runner.halt()
        elif isinstance(order, Stop):
            runner.stop()
            take(None)


if __name__ == "__main__":
    main()
