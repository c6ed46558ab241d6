"""How many threads numpy's linear algebra may use.

The library takes all cores by default, which on the host of a device under test are not ours. numpy has no
setting for it, and the environment is read only when the library is loaded, so the library itself is told:
numpy's wheels bring OpenBLAS, under names that differ by version.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

__all__ = ["blas_threads", "limited_blas"]

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")


@contextmanager
def limited_blas(most: int) -> Iterator[None]:
    """Let numpy use at most so many threads in this block; the setting is the whole process's.

    Where numpy has another library than OpenBLAS this does nothing.
    """
    before = blas_threads()
    if before is None or before <= most:
        yield
        return
    _call("set_num_threads", most)
    try:
        yield
    finally:
        _call("set_num_threads", before)


def blas_threads() -> int | None:
    """How many threads numpy may use, None where its library does not say."""
    return _call("get_num_threads")


def _call(name: str, *arguments: int) -> int | None:
    library = _library()
    for prefix in _PREFIXES if library is not None else ():
        for suffix in _SUFFIXES:
            function = getattr(library, f"{prefix}_{name}{suffix}", None)
            if function is not None:
                return int(function(*arguments))
    return None


@cache
def _library() -> ctypes.CDLL | None:
    """The file of numpy's linear algebra. Names are looked up in it and in what it is linked with."""
    spec = find_spec("numpy.linalg._umath_linalg")
    try:
        return None if spec is None or spec.origin is None else ctypes.CDLL(spec.origin)
    except OSError:
        return None
