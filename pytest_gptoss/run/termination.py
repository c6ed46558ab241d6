"""SIGTERM, with which CI runners cancel a job or end it at its time-out, ends a run as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType

__all__ = ["Termination", "interrupted_by"]

_REPEATED_S = 5.0
"""``timeout`` and some runners send the signal twice. What comes within so many seconds of the first is
the same wish; what comes later ends the process at once."""

_terminated = False
"""Whether the last interruption of this process was a SIGTERM."""


def interrupted_by() -> str:
    """What a KeyboardInterrupt in this process comes from, in a word for messages."""
    return "SIGTERM" if _terminated else "Ctrl-C"


class Termination:
    """While it is installed, the first SIGTERM does what Ctrl-C would do at that moment.

    Installed only in the main thread and only in the place of the system's own action: a handler of the
    user's stays. A child made by ``fork`` ends on SIGTERM as if there were no handler.
    """

    def __init__(self) -> None:
        self._installed = False
        self._before: signal.Handlers | object = signal.SIG_DFL
        self._process = 0
        self._first_s: float | None = None
        self._ending = False

    @property
    def came(self) -> bool:
        """Whether a SIGTERM came while this was installed."""
        return self._first_s is not None

    def install(self) -> None:
        """Take SIGTERM over, where nobody else has."""
        if self._installed or threading.current_thread() is not threading.main_thread():
            return
        current = signal.getsignal(signal.SIGTERM)
        if current is not signal.SIG_DFL and not isinstance(getattr(current, "__self__", None), Termination):
            return
        self._before, self._process = current, os.getpid()
        signal.signal(signal.SIGTERM, self._on_signal)
        self._installed = True

    def let_end(self) -> None:
        """The run is ending already, and writes its reports: a first SIGTERM interrupts it no more."""
        self._ending = True

    def restore(self) -> None:
        """Give SIGTERM back, unless somebody else has taken it over since."""
        if self._installed and signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, self._before)  # type: ignore[arg-type]
        self._installed = False

    def __enter__(self) -> Termination:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        forked = os.getpid() != self._process
        if forked or (self._first_s is not None and now - self._first_s > _REPEATED_S):
            os._exit(128 + number)  # servers of ours watch this process, and end with it
        repeated = self._first_s is not None
        self._first_s = now if self._first_s is None else self._first_s
        if repeated or self._ending:
            return
        global _terminated  # noqa: PLW0603
        _terminated = True
        # An event loop has a handler of its own, which cancels its task instead of raising anywhere.
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            interrupt(signal.SIGINT, frame)
            return
        raise KeyboardInterrupt  # Ctrl-C is switched off, as in a shell's background job
