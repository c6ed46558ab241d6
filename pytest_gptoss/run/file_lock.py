"""A lock between processes, on a file: the system frees it when its process ends, however it ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gptoss.model.errors import StoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["try_lock", "wait_for_lock"]


def try_lock(path: Path) -> BaseFileLock | None:
    """The lock on ``path``, held until its ``release``; None when another process or lock object holds it.

    Makes the file. Raises OSError when it cannot be written, StoreError when it cannot be locked.
    """
    from filelock import Timeout

    try:
        return _locked(path, timeout_s=0)
    except Timeout:
        return None


def wait_for_lock(path: Path) -> BaseFileLock:
    """The lock on ``path``, once it is free; for the rest as ``try_lock``."""
    return _locked(path, timeout_s=-1)


def _locked(path: Path, *, timeout_s: float) -> BaseFileLock:
    # Imported here: a plain pytest run locks nothing.
    from filelock import FileLock, Timeout

    path.open("ab").close()  # a place that cannot be written is another error than one that knows no locks
    # Without the system's locks filelock would fall back on a file that outlives a killed process.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:  # an OSError too
        raise
    except OSError as error:
        raise StoreError(
            f"{path}: this file cannot be locked ({error.strerror or error}), and the lock keeps runs and "
            "pytest-xdist's workers apart; some network shares know no locks: name a directory on a disk of "
            "this machine with --gptoss-report DIR"
        ) from error
    return lock
