"""When a server process of ours ends: at once on a signal, and soon after the process that started it."""

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
    """Let SIGTERM and Ctrl-C end the process by the kernel's hand, whatever it is computing.

    There is nothing to tidy up: no file is open for writing and no child was started. A SIGINT that the
    shell has switched off, as for a background job, stays off.
    """
    # The kernel spares process 1 of a container from the default action.
    action = signal.SIG_DFL if os.getpid() != _INIT else _exit
    signal.signal(signal.SIGTERM, action)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, action)


def end_with_parent(parent: int) -> None:
    """End this process when ``parent`` is no longer the process it belongs to.

    Linux could send a signal by itself (PR_SET_PDEATHSIG), but does so when the *thread* that started the
    process ends, which a living parent's worker threads do all the time. So the parent is looked at.
    """
    threading.Thread(target=_watch, args=(parent,), name="gptoss-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(0)


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)
