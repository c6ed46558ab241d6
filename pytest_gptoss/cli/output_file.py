"""The file that a subcommand writes (``--output``)."""

from __future__ import annotations

from pathlib import Path

from pytest_gptoss.model.errors import UsageError

__all__ = ["refuse_unwritable", "remove_earlier"]


def refuse_unwritable(output: Path) -> None:
    """Raise UsageError where no file can be written, before anything is measured for it."""
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no directory {output.parent}; make it first")
    if output.is_dir():
        raise UsageError(f"--output {output}: that is a directory; name a file")


def remove_earlier(output: Path) -> None:
    """Remove what an earlier run wrote; raises UsageError when that cannot be."""
    try:
        output.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror or error}; name another file") from error
