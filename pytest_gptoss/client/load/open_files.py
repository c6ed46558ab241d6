"""The limit on open files, raised while an open loop runs: a slow server fills it with connections."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["many_open_files"]

_WANTED = 65_536


@contextmanager
def many_open_files() -> Iterator[None]:
    """Raise this process's soft limit as far as its hard one allows; it is put back at the end.

    Where the system has no such limit or does not let it be changed, it stays.
    """
    if importlib.util.find_spec("resource") is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = before
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    with suppress(OSError, ValueError):
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
