"""Known failures: their signatures in logs and answers, their symptoms in the verdicts, and the remedies.

The table is data, ``signatures.toml``, and a user's files are added to it. All here is pure: texts and
verdict rows in, findings out.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_gptoss.judge.facts import release
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.json_type import Json

__all__ = [
    "LogLine",
    "LogSignature",
    "Signatures",
    "Symptom",
    "explained",
    "load_signatures",
    "read_answer",
    "read_log",
    "read_symptoms",
]

# Named at run time: the standard library has it from 3.11 on, its forerunner serves 3.10.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_SHIPPED = Path(__file__).with_name("signatures.toml")
_SHOWN = 240
_CAUSE_WITHIN = 20
"""Lines below a failure among which the one that tells its cause is looked for."""

_ANSWERING = ("preflight.ready", "preflight.baseline")
_STATED = (
    "preflight.model",
    "preflight.tokenizer",
    "preflight.distinct",
    "preflight.context",
    "preflight.versions",
    "preflight.known_defects",
    "preflight.clock",
    "preflight.date",
    "capability.bf16",
    "capability.mxfp4",
    "capability.context",
)
"""Rows that statements of the server or the user answer: no breakdown of a server explains them."""

Rows = Sequence[Mapping[str, Json]]
Versions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class LogSignature:
    """A failure by what a log or an answer says of it.

    ``explains``: shell patterns of threshold ids, or the words "answering" and "measured" for groups of them.
    ``after``: it shows only below a line that this finds, and above the next one that ``until`` finds, so
    never in an answer. ``cause`` finds the line, a little below, that tells why.
    """

    name: str
    pattern: re.Pattern[str]
    remedy: str
    explains: tuple[str, ...] = ("*",)
    source: str = ""
    after: re.Pattern[str] | None = None
    until: re.Pattern[str] | None = None
    cause: re.Pattern[str] | None = None

    def may_explain(self, threshold_id: str) -> bool:
        """Whether a red row of this id may come from this failure."""
        group = _group(threshold_id)
        return any(each == group or fnmatchcase(threshold_id, each) for each in self.explains)


@dataclass(frozen=True)
class Symptom:
    """A failure by what the verdicts say of it: which fail, which hold, which lie how far beyond.

    ``above`` and ``below`` are held against a relative difference with its sign: positive is worse.
    """

    name: str
    fails: tuple[str, ...]
    remedy: str
    holds: tuple[str, ...] = ()
    above: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    below_version: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Signatures:
    """The whole table, in reading order."""

    log: tuple[LogSignature, ...]
    symptoms: tuple[Symptom, ...]

    def match(self, line: str, *, begun: Container[str] = ()) -> LogSignature | None:
        """The first signature that a text shows; ``begun`` names those whose ``after`` has been seen."""
        return next(
            (
                each
                for each in self.log
                if (each.after is None or each.name in begun) and each.pattern.search(line)
            ),
            None,
        )


@dataclass(frozen=True)
class LogLine:
    """A known failure in a log: file and line as people find it, and the text; or in a server's answer.

    An answer has no ``file`` and no ``line``.
    """

    device: str
    file: str | None
    line: int | None
    text: str
    signature: LogSignature

    def document(self, red: Iterable[tuple[str, Sequence[str]]]) -> dict[str, Json]:
        """The finding as reports carry it.

        ``red``: ids of red rows, each with its devices; ``explains`` keeps those that this may explain.
        """
        return {
            "kind": "answer" if self.file is None else "log",
            "device": self.device,
            "name": self.signature.name,
            "file": self.file,
            "line": self.line,
            "text": self.text[:_SHOWN],
            "remedy": self.signature.remedy,
            "source": self.signature.source,
            "explains": [
                threshold_id
                for threshold_id, devices in red
                if self.device in devices and self.signature.may_explain(threshold_id)
            ],
        }


def read_log(
    lines: Iterable[tuple[int, str]], signatures: Signatures, *, device: str, file: str
) -> list[LogLine]:
    """The known failures in a log's lines, each a number and a text; a cause stands behind its failure."""
    staged = [each for each in signatures.log if each.after is not None]
    begun: set[str] = set()
    found: list[LogLine] = []
    open_until = 0
    """The last line at which the failure found last may still be told its cause."""
    for number, text in lines:
        for each in staged:
            if each.after is not None and each.after.search(text):
                begun.add(each.name)
            elif each.until is not None and each.until.search(text):
                begun.discard(each.name)
        signature = signatures.match(text, begun=begun)
        cause = found[-1].signature.cause if found and number <= open_until else None
        if cause is not None and signature in (None, found[-1].signature):
            # A further line of the same failure: its cause, or one above it.
            if cause.search(text):
                found[-1] = _with_cause(found[-1], text, signatures, begun)
                open_until = 0
            continue
        if signature is None:
            continue
        found.append(LogLine(device, file, number, text, signature))
        tells_itself = signature.cause is not None and signature.cause.search(text)
        open_until = 0 if tells_itself else number + _CAUSE_WITHIN
    return found


def _with_cause(line: LogLine, cause: str, signatures: Signatures, begun: Container[str]) -> LogLine:
    """A failure and its cause in one text, which may name it more closely."""
    text = f"{line.text.strip()[: _SHOWN // 2]} ... {cause.strip()}"
    return replace(line, text=text, signature=signatures.match(text, begun=begun) or line.signature)


def read_answer(text: str, signatures: Signatures, *, device: str) -> LogLine | None:
    """The known failure that a server's error text shows."""
    signature = signatures.match(text)
    return None if signature is None else LogLine(device, None, None, text, signature)


def explained(lines: Iterable[LogLine], threshold_id: str, devices: Sequence[str]) -> list[LogLine]:
    """The findings that may explain a red row in which ``devices`` play, the first of each signature."""
    found: dict[tuple[str, str], LogLine] = {}
    for line in lines:
        if line.device in devices and line.signature.may_explain(threshold_id):
            found.setdefault((line.device, line.signature.name), line)
    return list(found.values())


def read_symptoms(symptoms: Iterable[Symptom], rows: Rows, versions: Versions) -> list[dict[str, Json]]:
    """What the verdicts of each device under test point at.

    ``versions``: device -> component -> version, as far as known; an unknown version does not acquit.
    """
    found = []
    for npu in dict.fromkeys(row["npu"] for row in rows):
        own = {row["threshold_id"]: row for row in rows if row["npu"] == npu}
        for symptom in symptoms:
            failed = _failed(symptom, own, versions.get(npu, {}))
            if failed:
                found.append(
                    {
                        "kind": "symptom",
                        "device": npu,
                        "name": symptom.name,
                        "file": None,
                        "line": None,
                        "text": None,
                        "remedy": symptom.remedy,
                        "source": symptom.source,
                        "explains": failed,
                    }
                )
    return found


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


def _failed(
    symptom: Symptom, own: Mapping[str, Mapping[str, Json]], versions: Mapping[str, str]
) -> list[str]:
    """The failed rows that a symptom rests on; empty when it does not show."""
    failed = [each for each, row in own.items() if row["verdict"] == "FAIL" and _any(each, symptom.fails)]
    for pattern in symptom.holds:
        held = [row for each, row in own.items() if fnmatchcase(each, pattern)]
        if not held or any(row["verdict"] != "PASS" for row in held):
            return []
    above = ((_figure(own.get(row)), limit) for row, limit in symptom.above.items())
    below = ((_figure(own.get(row)), limit) for row, limit in symptom.below.items())
    if not all(figure is not None and figure > limit for figure, limit in above):
        return []
    if not all(figure is not None and figure < limit for figure, limit in below):
        return []
    for component, version in symptom.below_version.items():
        known = release(versions[component]) if component in versions else None
        if known is not None and known >= (release(version) or ()):
            return []
    return failed


def _figure(row: Mapping[str, Json] | None) -> float | None:
    """A row's figure with its sign: limits on a difference are limits on its size."""
    if row is None:
        return None
    signed: float | None = (row.get("details") or {}).get("relative_percent", row["value"])
    return signed


def _group(threshold_id: str) -> str | None:
    """The group of rows, as ``explains`` names it, that a row belongs to; None for a stated one."""
    if threshold_id in _ANSWERING:
        return "answering"
    return None if threshold_id in _STATED else "measured"


def _any(threshold_id: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(threshold_id, pattern) for pattern in patterns)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = _toml.loads(path.read_text("utf-8"))
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


_TABLES = (
    ("above", int | float, "a number"),
    ("below", int | float, "a number"),
    ("below_version", str, "a version"),
)
_WORDS: Mapping[type, str] = {str: "a text", list: "a list of texts", dict: "a table"}
