"""Files that a reader sees whole or not at all: they are written aside and renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pytest_gptoss.model.finite import strict_json
from pytest_gptoss.model.json_type import Json

__all__ = ["write_atomically", "write_json", "write_text"]


def write_json(path: Path, document: Json, *, compact: bool = False) -> None:
    """Write JSON atomically: strict (null for NaN), UTF-8; readable, or ``compact`` where it is long."""
    text = strict_json(document, indent=None if compact else 1)
    # Half a surrogate pair, which a model can emit, has no UTF-8; its JSON escape is what this writes.
    write_text(path, text, errors="backslashreplace")


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a text file atomically, in UTF-8."""
    encoded = text.encode("utf-8", errors)
    write_atomically(path, lambda file: file.write(encoded))


def write_atomically(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write what ``fill`` puts into the file that it is given; ``path`` is replaced once that is on disk.

    Raises OSError when the file cannot be written; ``path`` is then as it was.
    """
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        # Files made aside are private; reports are there to be passed on. Some shares know no permissions.
        with contextlib.suppress(OSError):
            Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
