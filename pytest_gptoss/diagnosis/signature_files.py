"""Reads and checks tables of known failures: ``signatures.toml`` and a user's files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_gptoss.diagnosis.signatures import LogSignature, Signatures, Symptom
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.toml_reader import toml

__all__ = ["load_signatures"]

# Named at run time: the standard library has it from 3.11 on, its forerunner serves 3.10.
_SHIPPED = Path(__file__).with_name("signatures.toml")

_TABLES = (
    ("above", int | float, "a number"),
    ("below", int | float, "a number"),
    ("below_version", str, "a version"),
)

_WORDS: Mapping[type, str] = {str: "a text", list: "a list of texts", dict: "a table"}


def load_signatures(files: Iterable[Path] = ()) -> Signatures:
    """The shipped table with the user's files added; an entry of the same name replaces the earlier one.

    Raises UsageError naming the file, the entry and the rule.
    """
    logs: dict[str, LogSignature] = {}
    symptoms: dict[str, Symptom] = {}
    for path in (_SHIPPED, *files):
        document = _read(path)
        for name, entry in document.get("log", {}).items():
            logs[name] = _log_signature(name, entry, f"{path.name}: log.{name}")
        for name, entry in document.get("symptom", {}).items():
            symptoms[name] = _symptom(name, entry, f"{path.name}: symptom.{name}")
    return Signatures(tuple(logs.values()), tuple(symptoms.values()))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = toml.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--gptoss-signatures {path.name}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"--gptoss-signatures {path.name}: not a TOML file ({error})") from error
    unknown = next((key for key in document if key not in ("log", "symptom")), None)
    if unknown is not None or not document:
        raise UsageError(
            f"--gptoss-signatures {path.name}: {unknown or 'nothing'!r} at its top: write [log.NAME] and "
            "[symptom.NAME] tables, as the shipped signatures.toml does"
        )
    for kind, entries in document.items():
        if not isinstance(entries, dict):
            raise UsageError(
                f"--gptoss-signatures {path.name}: {kind} is {entries!r}: write [{kind}.NAME] tables"
            )
    return document


def _log_signature(name: str, entry: Any, where: str) -> LogSignature:
    patterns = ("pattern", "after", "until", "cause")
    other = {"explains": list, "source": str, "after": str, "until": str, "cause": str}
    _check(entry, where, needed={"pattern": str, "remedy": str}, other=other)
    compiled: dict[str, re.Pattern[str]] = {}
    for field_name in patterns:
        if field_name not in entry:
            continue
        try:
            compiled[field_name] = re.compile(entry[field_name])
        except re.error as error:
            raise UsageError(
                f"{where}: {field_name} {entry[field_name]!r} is no regular expression ({error})"
            ) from None
    if "until" in compiled and "after" not in compiled:
        raise UsageError(f"{where}: 'until' ends what 'after' begins: give 'after' too, or leave it out")
    return LogSignature(
        name,
        compiled["pattern"],
        entry["remedy"],
        tuple(entry.get("explains", ("*",))),
        entry.get("source", ""),
        compiled.get("after"),
        compiled.get("until"),
        compiled.get("cause"),
    )


def _symptom(name: str, entry: Any, where: str) -> Symptom:
    other = {"holds": list, "above": dict, "below": dict, "below_version": dict, "source": str}
    _check(entry, where, needed={"fails": list, "remedy": str}, other=other)
    return Symptom(
        name,
        tuple(entry["fails"]),
        entry["remedy"],
        tuple(entry.get("holds", ())),
        entry.get("above", {}),
        entry.get("below", {}),
        entry.get("below_version", {}),
        entry.get("source", ""),
    )


def _check(entry: Any, where: str, *, needed: Mapping[str, type], other: Mapping[str, type]) -> None:
    if not isinstance(entry, dict):
        raise UsageError(
            f"{where}: {entry!r} is no table; write its fields below [{where.rsplit(': ', maxsplit=1)[-1]}]"
        )
    known = {**needed, **other}
    for name, value in entry.items():
        if name not in known:
            raise UsageError(f"{where}: unknown field {name!r}; there are: {', '.join(known)}")
        texts = value if isinstance(value, list) else ()
        if not isinstance(value, known[name]) or not all(isinstance(each, str) for each in texts):
            raise UsageError(f"{where}: {name} is {value!r}; it takes {_WORDS[known[name]]}")
    missing = next((name for name in needed if not entry.get(name)), None)
    if missing is not None:
        raise UsageError(f"{where}: {missing!r} is missing: it needs {' and '.join(needed)}")
    for table, kind, word in _TABLES:
        for key, value in entry.get(table, {}).items():
            if isinstance(value, bool) or not isinstance(value, kind):
                raise UsageError(f"{where}: {table}.{key} is {value!r}; it takes {word}")
