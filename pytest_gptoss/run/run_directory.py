"""The directory of a run: made empty, or filled with a finished run; never taken from somebody else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pytest_gptoss.model.atomic_files import write_json
from pytest_gptoss.model.errors import StoreError

__all__ = ["MEASUREMENTS", "VERDICTS", "explained", "fill_from", "make_empty"]

MEASUREMENTS = "measurements"
VERDICTS = "verdicts"
MARKER = "run.json"
"""Every run's directory has it; a directory without it is somebody else's."""


def make_empty(directory: Path) -> None:
    """Make the directory of a run; what an earlier run left there is kept once, as ``previous``.

    Raises StoreError when the directory cannot be made or written, or when what is in its place was
    not made by a run.
    """
    with explained(directory):
        if directory.is_symlink():  # what it leads to is not ours to move or to delete
            directory.unlink()
        if directory.exists():
            _put_aside(directory, directory.with_name("previous"))
        (directory / MEASUREMENTS).mkdir(parents=True)
        write_json(directory / MARKER, {})
        (directory / VERDICTS).mkdir()


def fill_from(source: Path, directory: Path) -> None:
    """Make ``directory`` the same as a finished run's, which ``source`` is, but for its verdicts.

    They may be the same directory. Raises StoreError when ``source`` holds no run, and as ``make_empty``.
    """
    if not (source / MEASUREMENTS).is_dir():
        raise StoreError(f"{source}: no measurements of a run there; name the directory of its reports")
    link = next((path for path in source.rglob("*") if path.is_symlink()), None)
    if link is not None:  # it may lead anywhere, and runs make none
        raise StoreError(f"{link}: a link, which no run makes; replay the directory that a run wrote")
    with explained(directory):
        if source.resolve() != directory.resolve():
            make_empty(directory)
            shutil.rmtree(directory)
            shutil.copytree(source, directory)
        shutil.rmtree(directory / VERDICTS, ignore_errors=True)
        (directory / VERDICTS).mkdir()


@contextlib.contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn what the system says of a run's directory into a StoreError that names the way out."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{directory}: {error.strerror or error}; the run directory must be writable and have room: "
            "name another with --gptoss-report DIR"
        ) from error


def _put_aside(directory: Path, aside: Path) -> None:
    _refuse_foreign(directory)
    if aside.is_symlink():
        aside.unlink()
    elif aside.exists():
        _refuse_foreign(aside)
        shutil.rmtree(aside, ignore_errors=True)
    directory.rename(aside)


def _refuse_foreign(directory: Path) -> None:
    """Raise StoreError unless a directory was made by a run, or holds nothing."""
    if (directory / MARKER).is_file() or not any(path.is_file() for path in directory.rglob("*")):
        return
    raise StoreError(
        f"{directory}: not made by a run (no {MARKER}), so it is neither moved nor deleted: "
        "name another directory with --gptoss-report DIR"
    )
