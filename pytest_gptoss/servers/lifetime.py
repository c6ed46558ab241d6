"""When our server processes end: at once on a signal, and soon after the process that started them."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

__all__ = ["end_on_signals", "end_with_parent"]

_POLL_S = 0.25
_INIT = 1


def end_on_signals() -> None:
    """Let SIGTERM and Ctrl-C end the process by the kernel's default action, whatever it is computing.

    A Python handler would run only between two bytecodes, so not during a long call into a library. No
    cleanup is needed: no file is open for writing and no child was started. A SIGINT that the shell
    ignores, as for a background job, stays ignored.
    """
    # The default action does not apply to process 1 of a container.
    action = signal.SIG_DFL if os.getpid() != _INIT else _exit
    signal.signal(signal.SIGTERM, action)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, action)


def end_with_parent(parent: int) -> None:
    """End this process when ``parent`` is no longer its parent: within a quarter of a second, by a thread.

    Linux can send a signal for this (PR_SET_PDEATHSIG), but sends it when the *thread* that started the
    process ends, and worker threads of a living parent end all the time.
    """
    threading.Thread(target=_watch, args=(parent,), name="gptoss-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(0)


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)
