"""Subcommands that run one family's acceptance tests and keep one of their reports."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, INTERRUPTED
from pytest_gptoss.cli.output_file import refuse_unwritable, remove_earlier

__all__ = ["PASSED_ON", "accept", "passed_on"]

PASSED_ON = "Options that are not listed here are pytest's and the plugin's, and are passed on."


def accept(
    family: str, report_name: str, given: Mapping[str, str | None], rest: Sequence[str], *, output: Path
) -> int:
    """Run one family's acceptance tests and keep one of its reports; returns the exit status.

    ``given``: the plugin's options by flag. ``output`` is this run's or it is not there: an earlier one is
    removed before the run.
    """
    refuse_unwritable(output)
    remove_earlier(output)
    options = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        report = Path(scratch)
        source = _report_of(rest, report) / report_name
        before = _version(source)
        status = _run_tests(family, report, [*options, *rest])
        if _version(source) not in (None, before):
            if source.resolve() != output.resolve():
                shutil.copyfile(source, output)
            print(f"report: {output}")
    return _exit_status(status)


def _run_tests(family: str, report: Path, arguments: Sequence[str]) -> int:
    import pytest

    from pytest_gptoss.model.resources import acceptance_tests

    tests = str(acceptance_tests())
    return pytest.main(
        [tests, "-m", family, "-p", "no:cacheprovider", f"--gptoss-report={report}", *arguments]
    )


def _exit_status(status: int) -> int:
    """Our exit status for pytest's: what is neither passed, usage nor interrupted is a failure."""
    import pytest

    if status == pytest.ExitCode.INTERRUPTED:
        return INTERRUPTED
    return int(status) if status in (pytest.ExitCode.OK, pytest.ExitCode.USAGE_ERROR) else FAILED


def _version(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _report_of(rest: Sequence[str], default: Path) -> Path:
    """Where pytest wrote its reports: the user may have named a directory to keep, of several the last."""
    named = passed_on("--gptoss-report", rest)
    return Path(named) if named else default


def passed_on(flag: str, rest: Sequence[str]) -> str | None:
    """The value of an option that is passed on, of several the last; None where it is not there."""
    named = None
    for argument, after in pairwise((*rest, "")):
        if argument.startswith(f"{flag}="):
            named = argument.partition("=")[2]
        elif argument == flag and after:
            named = after
    return named
