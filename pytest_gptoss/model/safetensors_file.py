"""Tensors of ``.safetensors`` files, mapped: only what is looked at is ever read.

A file is a length (8 bytes, little-endian), so many bytes of JSON (name -> dtype, shape, data_offsets), and
the data, which the offsets count from. What the header says is checked before anything is mapped on its word.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.arrays import Float32Array
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.stored_json import Mismatch, parse, typed

__all__ = [
    "FLOATS",
    "INTEGERS",
    "MappedTensor",
    "StoredTensor",
    "as_float32",
    "find_tensor",
    "map_tensor",
    "parse_file",
]

LARGEST_HEADER = 10**8
"""Bytes of the longest header, the format's own bound; an index is bounded alike."""
_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
FLOATS: Mapping[str, type] = MappingProxyType({"BF16": np.uint16, "F16": np.float16, "F32": np.float32})
"""Numbers that are read, by the format's names. numpy has no bfloat16: its bits are read as whole numbers."""
INTEGERS: Mapping[str, type] = MappingProxyType({"I32": np.int32})
_LFS_POINTER = b"version "
"""How the text begins that stands in for a large file until git-lfs has fetched it."""

Elements: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies: ``start`` and ``end`` are bytes of ``file``."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class MappedTensor:
    """A tensor's elements, mapped read-only; ``elements`` of BF16 are its bits. See ``as_float32``."""

    elements: Elements
    mapped: mmap.mmap

    def give_back(self) -> None:
        """Let go of the pages that were read; they stay in the system's cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def as_float32(elements: Elements) -> Float32Array:
    """Elements of BF16 (as bits), F16 or F32 as float32, which holds each of them exactly."""
    if elements.dtype == np.uint16:
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements.astype(np.float32)


def find_tensor(checkpoint: Path, name: str) -> StoredTensor | None:
    """Where a tensor of a checkpoint lies, None where it has none of that name.

    ``checkpoint`` is a folder, or one ``.safetensors`` file. Of a folder with an index only the shard that
    the index names is opened.

    Raises:
        UsageError: there is no such checkpoint, its index or a header is damaged, or the shard is missing.
    """
    if checkpoint.is_file():
        return _header(checkpoint).get(name)
    if not checkpoint.is_dir():
        raise UsageError(
            f"{checkpoint} does not exist: name a checkpoint's folder or one of its .safetensors files"
        )
    if (checkpoint / _INDEX).is_file():
        return _by_index(checkpoint, name)
    if (checkpoint / _WHOLE).is_file():
        return _header(checkpoint / _WHOLE).get(name)
    raise UsageError(
        f"{checkpoint} holds neither {_INDEX} nor {_WHOLE}: name the folder of a Hugging Face checkpoint, or "
        "one .safetensors file"
    )


def map_tensor(tensor: StoredTensor, dtypes: Mapping[str, type] = FLOATS) -> MappedTensor:
    """The elements of a tensor, in its shape.

    Raises:
        UsageError: its dtype is none of ``dtypes`` (a quantised tensor), or its size is not that of
            its shape.
    """
    kind = dtypes.get(tensor.dtype)
    if kind is None:
        raise UsageError(
            f"{tensor.file}: {tensor.name} is stored as {tensor.dtype}, {', '.join(dtypes)} can be read: "
            "name a checkpoint that holds it so, not a quantised one"
        )
    needed = math.prod(tensor.shape) * np.dtype(kind).itemsize
    if tensor.end - tensor.start != needed or min(tensor.shape, default=1) < 1:
        raise UsageError(
            f"{tensor.file}: {tensor.name} has {tensor.end - tensor.start} bytes, {tensor.dtype} "
            f"{list(tensor.shape)} takes {needed}: the file is damaged, fetch it again"
        )
    with tensor.file.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    elements: Elements = np.frombuffer(mapped, kind, math.prod(tensor.shape), tensor.start)
    return MappedTensor(elements.reshape(tensor.shape), mapped)


def parse_file(path: Path) -> Json:
    """The JSON in a file of a checkpoint; raises UsageError where it cannot be read or is none."""
    try:
        if path.stat().st_size > LARGEST_HEADER:
            raise Mismatch(f"{path.stat().st_size} bytes, at most {LARGEST_HEADER} are read")
        return parse(path.read_bytes())
    except (OSError, Mismatch) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error}): fetch it again") from None


def _by_index(folder: Path, name: str) -> StoredTensor | None:
    shard_name = _weight_map(folder / _INDEX).get(name)
    if shard_name is None:
        return None
    shard = folder / shard_name
    if not shard.is_file():
        raise UsageError(
            f"{shard} is missing, which {_INDEX} names for {name}: the checkpoint is not complete, fetch it "
            "again"
        )
    found = _header(shard).get(name)
    if found is None:
        raise UsageError(
            f"{shard} holds no {name}, though {_INDEX} says so: the two are not of one checkpoint, fetch "
            "it again"
        )
    return found


def _weight_map(index: Path) -> Mapping[str, str]:
    document = parse_file(index)
    try:
        found: Mapping[str, str] = typed(
            Mapping[str, str], document.get("weight_map") if isinstance(document, dict) else None
        )
    except Mismatch as error:
        raise UsageError(f"{index}: weight_map: {error}: fetch it again") from None
    return found


def _header(path: Path) -> Mapping[str, StoredTensor]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = _header_length(first, size)
            entries = parse(file.read(length))
    except (OSError, Mismatch) as error:
        raise UsageError(f"{path} is not readable as safetensors ({error}): fetch it again") from None
    if not isinstance(entries, dict):
        raise UsageError(f"{path} is not readable as safetensors (its header is no object): fetch it again")
    entries.pop("__metadata__", None)
    return {name: _stored(name, path, entry, 8 + length, size) for name, entry in entries.items()}


def _header_length(first: bytes, size: int) -> int:
    if first == _LFS_POINTER:
        raise Mismatch("it is a git-lfs pointer, which 'git lfs pull' replaces by the file")
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(LARGEST_HEADER, size - 8):
        raise Mismatch(
            f"a header of {length} bytes in a file of {size} bytes, at most {LARGEST_HEADER} are read"
        )
    return length


def _stored(name: str, path: Path, entry: Json, data: int, size: int) -> StoredTensor:
    try:
        read: _Entry = typed(_Entry, entry)
    except Mismatch as error:
        raise UsageError(f"{path}: the header's {name}: {error}: fetch it again") from None
    start, end = read.data_offsets
    if not 0 <= start <= end <= size - data:
        raise UsageError(
            f"{path}: {name} lies at bytes {start} to {end} of the data, the file holds {size - data}: it is "
            "cut short, fetch it again"
        )
    return StoredTensor(name, path, read.dtype, read.shape, data + start, data + end)
