"""The files of a report directory: written at a run's end, and again from its ``acceptance.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pytest_gptoss.errors import MissingExtra, UsageError
from pytest_gptoss.measure.store import write_json, write_text
from pytest_gptoss.records import Json
from pytest_gptoss.report.document import SCHEMA_VERSION, finite
from pytest_gptoss.report.html import html
from pytest_gptoss.report.junit import junit
from pytest_gptoss.report.long_context import long_context_report
from pytest_gptoss.report.markdown import markdown
from pytest_gptoss.report.precision import precision_report
from pytest_gptoss.report.wording import Language

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

_TOLD = 6
"""Names of missing parts in one message."""

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
    """The document of a stored run; raises UsageError when there is none that this version can read."""
    path = directory / DOCUMENT
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{directory}: there is no {DOCUMENT}; name the directory that a run wrote its reports to"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a report ({error}); run again, or name another directory") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: schema_version is {version!r}, this version reads {SCHEMA_VERSION}: "
            "use the pytest-gptoss that wrote it"
        )
    lacking = list(islice(_lacking(document, _schema()), _TOLD))
    if lacking:
        raise UsageError(f"{path}: not a whole report, it lacks {', '.join(lacking)}; run again")
    readable: Document = finite(document)
    return readable


def _schema() -> Mapping[str, Json]:
    schema: Mapping[str, Json] = json.loads(
        Path(__file__).with_name("report").joinpath("schemas", "acceptance-1.schema.json").read_text("utf-8")
    )
    return schema


def _lacking(value: Json, schema: Mapping[str, Json], place: str = "") -> Iterator[str]:
    """What renderers count on and a document lacks, by the schema: objects with their keys, and lists."""
    kinds = schema.get("type", ())
    if value is None and "null" in kinds:
        return
    if "items" in schema and not isinstance(value, list):
        yield f"{place} (a list)"
    elif "items" in schema:
        for index, each in enumerate(value):
            yield from _lacking(each, schema["items"], f"{place}[{index}]")
    elif "object" in kinds and not isinstance(value, dict):
        yield f"{place} (an object)"
    elif "object" in kinds:
        inside = f"{place}." if place else ""
        yield from (f"{inside}{key}" for key in schema.get("required", ()) if key not in value)
        for key, of_key in schema.get("properties", {}).items():
            if key in value:
                yield from _lacking(value[key], of_key, f"{inside}{key}")


def _written(directory: Path, name: str, write: Callable[[Path], object]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(directory / name)
    except OSError as error:
        raise UsageError(
            f"{directory}: {error.strerror or error}; reports need a directory that can be written: "
            "name one with --gptoss-report DIR"
        ) from error
