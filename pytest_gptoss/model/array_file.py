"""Arrays of ``.npy`` files that somebody else may have written: nothing is allocated or run on their word."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.stored_json import Mismatch

__all__ = ["check_header", "map_array"]

Array: TypeAlias = npt.NDArray[Any]

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_STORED = "iufU"
"""Kinds of elements that this product stores: whole numbers, floating-point numbers, text."""


def check_header(file: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape of the array in a file of ``size`` bytes.

    Raises Mismatch unless it holds plain elements, and exactly as many as its header says.
    """
    try:
        header = _HEADERS[np.lib.format.read_magic(file)]
        shape, _, dtype = header(file)
    except Exception as error:  # a damaged header makes numpy raise errors of many kinds
        raise Mismatch(f"no array ({type(error).__name__}: {str(error)[:100]})") from None
    elements = 1
    for each in shape:
        elements *= each
    if dtype.hasobject or dtype.kind not in _STORED or any(each < 0 for each in shape):
        raise Mismatch(f"an array of {dtype} {list(shape)}, which is never stored")
    needed = file.tell() + elements * dtype.itemsize
    if needed != size:
        raise Mismatch(f"{size} bytes where an array of {dtype} {list(shape)} has {needed}")
    return tuple(shape)


def map_array(path: Path) -> Array:
    """The array of a file, mapped read-only; an empty one cannot be mapped and is read.

    Raises Mismatch when it is no such array, and OSError.
    """
    with path.open("rb") as file:
        shape = check_header(file, path.stat().st_size)
    array: Array = np.load(path, mmap_mode=None if 0 in shape else "r", allow_pickle=False)
    return array
