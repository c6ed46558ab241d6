"""A server's log file while a run lasts: where it stood at the start, and what it has gained since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_gptoss.records import Json

__all__ = ["LogMark", "gained", "mark", "shown"]


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
    status = start.path.stat()
    anew = status.st_ino != start.inode or status.st_size < start.size
    with start.path.open("rb") as file:
        file.seek(0 if anew else start.size)
        for number, raw in enumerate(file, start=1 if anew else start.lines + 1):
            yield number, raw.decode("utf-8", "replace").rstrip("\r\n")
