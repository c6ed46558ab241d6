"""The files of a report directory: written at a run's end, and again from its ``acceptance.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pytest_gptoss.model.atomic_files import write_json, write_text
from pytest_gptoss.model.errors import MissingExtra, UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.report.document import SCHEMA_VERSION, finite
from pytest_gptoss.report.format import Format, Source
from pytest_gptoss.report.formats import formats
from pytest_gptoss.report.schema import faults, unbounded

__all__ = [
    "DOCUMENT",
    "forget_reports",
    "read_document",
    "write_document",
    "write_report",
    "write_reports",
]

Document: TypeAlias = Mapping[str, Json]

DOCUMENT = "acceptance.json"

LARGEST = 256 << 20
"""Most bytes of a document; with 10,000 prompts side by side it has about 50 MB."""


def write_document(directory: Path, document: Document) -> None:
    """Write ``acceptance.json``; raises UsageError where it cannot be written."""
    _written(directory, DOCUMENT, partial(write_json, document=document))


def write_report(directory: Path, report: Format, source: Source) -> None:
    """Write one report.

    Raises UsageError when the directory cannot be written, and MissingExtra when the format needs packages
    that are not installed.
    """
    content = report.render(source)
    if report.is_json:
        write = partial(write_json, document=content, compact=report.compact)
    else:
        write = partial(write_text, text=content)
    _written(directory, report.file, write)


def write_reports(
    directory: Path, document: Document, *, names: Iterable[str], language: Language
) -> list[str]:
    """Render a stored run again: every file of the formats of these names; returns the files' names.

    Raises UsageError when the directory cannot be written, and MissingExtra, after all else was written,
    when a format needs packages that are not installed.
    """
    source = Source(document, language)
    written: list[str] = []
    missing: MissingExtra | None = None
    for report in (each for name in names for each in formats() if each.name == name):
        if report.by_run_alone:
            continue
        try:
            write_report(directory, report, source)
        except MissingExtra as error:
            missing = error
        else:
            written.append(report.file)
    if missing is not None:
        raise missing
    return written


def forget_reports(directory: Path) -> None:
    """Remove what an earlier run has rendered here: nobody shall take it for this run's.

    Raises UsageError for what cannot be removed.
    """
    try:
        for each in formats():
            (directory / each.file).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{error.filename}: {error.strerror}; what stands there would be taken for this run's report: "
            "move it away, or name another directory with --gptoss-report DIR"
        ) from error


def read_document(directory: Path) -> Document:
    """The document of a stored run, checked against its schema; raises UsageError when there is none.

    Figures that are not finite are null in what is returned.
    """
    path = directory / DOCUMENT
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(
                f"{path}: more than {LARGEST >> 20} MiB, which no run writes; name another directory"
            )
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{directory}: there is no {DOCUMENT}; name the directory that a run wrote its reports to"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a report ({error}); run again, or name another directory") from None
    beyond = unbounded(document)
    if beyond is not None:
        raise UsageError(f"{path}: not a report ({beyond.lstrip('.')}); run again, or name another directory")
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: schema_version is {version!r}, this version reads {SCHEMA_VERSION}: "
            "use the pytest-gptoss that wrote it"
        )
    readable: Document = finite(document)
    wrong = faults(readable)
    if wrong:
        raise UsageError(f"{path}: not a whole report, {'; '.join(wrong)}; run again")
    return readable


def _written(directory: Path, name: str, write: Callable[[Path], object]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(directory / name)
    except OSError as error:
        raise UsageError(
            f"{directory}: {error.strerror or error}; reports need a directory that can be written: "
            "name one with --gptoss-report DIR"
        ) from error
