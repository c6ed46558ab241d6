"""The files of a report directory: written at a run's end, and again from its ``acceptance.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pytest_gptoss.model.errors import MissingExtra, UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.report.document import SCHEMA_VERSION, finite
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.junit import junit
from pytest_gptoss.report.formats.long_context import long_context_report
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.formats.precision import precision_report
from pytest_gptoss.report.schema import faults, unbounded
from pytest_gptoss.run.store import write_json, write_text

__all__ = [
    "DOCUMENT",
    "FORMATS",
    "Format",
    "forget_reports",
    "read_document",
    "write_document",
    "write_reports",
]

Document: TypeAlias = Mapping[str, Json]
Format: TypeAlias = Literal["html", "md", "json", "junit"]
FORMATS: tuple[Format, ...] = get_args(Format)

DOCUMENT = "acceptance.json"

LARGEST = 256 << 20
"""Most bytes of a document; with 10,000 prompts side by side it has about 50 MB."""

_JSON: Mapping[str, Callable[[Document], Json]] = {
    "precision_report.json": precision_report,
    "long_context_report.json": long_context_report,
}
"""Reports in the form of the guide's own scripts, each a part of the document."""
_TEXT: Mapping[Format, tuple[str, Callable[[Document, Language], str]]] = {
    "html": ("acceptance.html", html),
    "md": ("acceptance.md", markdown),
    "junit": ("acceptance.xml", lambda document, _: junit(document)),
}


def write_document(
    directory: Path, document: Document, *, name: str = DOCUMENT, compact: bool = False
) -> None:
    """Write ``acceptance.json``, or another JSON document; raises UsageError where it cannot be written."""
    _written(directory, name, partial(write_json, document=document, compact=compact))


def write_reports(
    directory: Path, document: Document, *, formats: Iterable[Format], language: Language
) -> list[str]:
    """Write every file of these formats that the document gives; returns their names.

    Raises UsageError when the directory cannot be written, and MissingExtra, after all else was written,
    when a format needs packages that are not installed.
    """
    names: list[str] = []
    missing: MissingExtra | None = None
    for each in formats:
        if each == "json":
            for name, derive in _JSON.items():
                _written(directory, name, partial(write_json, document=derive(document)))
                names.append(name)
            continue
        name, render = _TEXT[each]
        try:
            _written(directory, name, partial(write_text, text=render(document, language)))
        except MissingExtra as error:
            missing = error
        else:
            names.append(name)
    if missing is not None:
        raise missing
    return names


def forget_reports(directory: Path) -> None:
    """Remove what an earlier run has rendered here: nobody shall take it for this run's.

    Raises UsageError for what cannot be removed.
    """
    try:
        for name in (*_JSON, "benchmark_report.json", "acceptance.html", "acceptance.md", "acceptance.xml"):
            (directory / name).unlink(missing_ok=True)
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
