"""pytest-xdist's workers: ended, so that nobody measures any more when an interrupted run is judged."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import Any

import pytest

__all__ = ["end_workers", "has_workers"]

_CONTROLLER = "dsession"
"""The plugin that pytest-xdist registers in the process that starts workers."""
_END_S = 3.0
"""How long workers may take to end on SIGTERM: what they have measured is kept by then."""


def has_workers(config: pytest.Config) -> bool:
    """Whether this process starts workers, and collects nothing itself."""
    return bool(config.pluginmanager.hasplugin(_CONTROLLER))


def end_workers(config: pytest.Config, *, terminate: bool) -> None:
    """End the workers of this process, if it has any; ``terminate``: by SIGTERM first."""
    controller = config.pluginmanager.get_plugin(_CONTROLLER)
    if controller is None:
        return
    if terminate:
        _terminate(controller)
    controller.pytest_sessionfinish()


def _terminate(controller: Any) -> None:
    """Pass SIGTERM on to the workers on this machine: told by xdist alone they measure on for 5 s.

    They keep what they have measured first of all; those that do not end soon afterwards are killed.
    """
    gateways = getattr(controller.nodemanager, "group", ())
    found = (getattr(getattr(gateway, "_io", None), "popen", None) for gateway in gateways)
    processes = [process for process in found if process is not None]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _END_S
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()
