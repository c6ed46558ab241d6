"""A server's log file while a run lasts: where it stood at the start, what it has gained, its last start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_gptoss.model.json_type import Json

__all__ = ["LogMark", "gained", "last_start", "mark", "shown"]

_BEGINS = re.compile(rb"vLLM (?:API )?server version|\xe2\x96\x88.*\bversion\b")
"""The first lines of a ``vllm serve``: the version in words, or beside the logo, which is drawn in blocks."""


@dataclass(frozen=True)
class LogMark:
    """A log at the start of a run: its size in bytes, its whole lines, and which file it was."""

    path: Path
    size: int
    lines: int
    inode: int

    def document(self) -> dict[str, Json]:
        """JSON form, for the store."""
        return {"path": str(self.path), "size": self.size, "lines": self.lines, "inode": self.inode}


def shown(path: Path) -> str:
    """How people find a log: from where they are, if it lies below."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def mark(path: Path) -> LogMark:
    """Note where a log stands. Raises OSError when it cannot be read."""
    lines = size = 0
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            size += len(chunk)
            lines += chunk.count(b"\n")
    return LogMark(path, size, lines, path.stat().st_ino)


def gained(start: LogMark) -> Iterator[tuple[int, str]]:
    """(line number, text) of each line that the log has gained; all of a log that was begun anew.

    A file that is shorter than it was, or another one in its place, was begun anew: a server that starts
    again often rotates it. Raises OSError when it cannot be read.
    """
    return _lines(start.path, *_marked(start))


def last_start(start: LogMark) -> Iterator[tuple[int, str]]:
    """(line number, text) of each line since the server last began, and of all that the log has gained.

    A log that shows no beginning is read whole. Raises OSError when it cannot be read.
    """
    return _lines(start.path, *min(_marked(start), _last_beginning(start.path)))


def _marked(start: LogMark) -> tuple[int, int]:
    """Where the log stood: the offset in bytes and the whole lines before it."""
    status = start.path.stat()
    anew = status.st_ino != start.inode or status.st_size < start.size
    return (0, 0) if anew else (start.size, start.lines)


def _last_beginning(path: Path) -> tuple[int, int]:
    """Offset of the last line that a server begins with, and the lines before it."""
    found, offset = (0, 0), 0
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            if _BEGINS.search(raw):
                found = (offset, number)
            offset += len(raw)
    return found


def _lines(path: Path, offset: int, before: int) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        file.seek(offset)
        for number, raw in enumerate(file, start=before + 1):
            yield number, raw.decode("utf-8", "replace").rstrip("\r\n")
