"""Files that hold one JSON list: read with bounds, refused with words that lead to the fault."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.json_type import Json

__all__ = ["LARGEST_FILE", "MOST_ENTRIES", "Entry", "described", "entries", "parse", "read"]

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes; far above any prompt set a person wrote. Parsed JSON takes up to 25 times the memory."""

MOST_ENTRIES = 10_000
"""Far above any list a person wrote: each entry costs minutes of measuring, and memory in each process."""

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list, knowing its place: ``number`` counts from 1 in the file ``origin``."""

    origin: str
    number: int
    value: Json

    def refuse(self, field: str, fault: str) -> NoReturn:
        """Raise UsageError for ``field`` of this entry ("" for the entry as a whole)."""
        identity = self.value.get("id") if isinstance(self.value, dict) else None
        name = f" (id {described(identity)})" if isinstance(identity, str) else ""
        place = f"{self.origin}: entry {self.number}{name}"
        raise UsageError(f"{place}: {field}: {fault}" if field else f"{place}: {fault}")

    def text(self, field: str, value: Json) -> str:
        """Check that ``value`` is text with more in it than white space, and fit to be sent."""
        if not isinstance(value, str):
            self.refuse(field, f"{described(value)} is not text; write it as a JSON string")
        if not value.strip():
            self.refuse(field, "the text is empty; write it out or remove the entry")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"\\u{ord(value[error.start]):04x}"
            self.refuse(
                field,
                f"character {error.start + 1} is {half}, half a surrogate pair and no character; "
                "write the character itself or both halves",
            )
        return value

    def name(self, field: str, value: Json) -> str:
        """Check that ``value`` can stand in reports on one line: an id or a tag."""
        text = self.text(field, value)
        if not text.isprintable():
            self.refuse(field, f"{described(text)} holds a character that cannot be printed; remove it")
        return text

    def names(self, field: str, value: Json) -> tuple[str, ...]:
        """Check that ``value`` is a list of names, which may be empty."""
        if not isinstance(value, list):
            self.refuse(field, f"{described(value)} is no list; write a list of strings")
        return tuple(self.name(f"{field}[{index}]", name) for index, name in enumerate(value))

    def known_keys(self, allowed: tuple[str, ...]) -> None:
        """Refuse an entry with a key that is not one of ``allowed``."""
        for key in self.value:
            if key not in allowed:
                self.refuse("", f"unknown key {described(key)}; the keys are {', '.join(allowed)}")


def read(path: Path) -> str:
    """Read the text of a UTF-8 file of at most 8 MiB.

    Raises UsageError when it is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise UsageError(f"{path}: more than {LARGEST_FILE} bytes (8 MiB), the limit; split the file")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise UsageError(
            f"{path}: it cannot be read ({error.strerror}); it must be a readable file"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the file in the encoding UTF-8"
        ) from None


def parse(text: str, origin: str) -> Json:
    """Parse JSON; ``origin`` names the file in the UsageError raised where it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{origin}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); correct it there"
        ) from None
    except RecursionError:
        raise UsageError(f"{origin}: nested too deeply to be read; the file is a flat list") from None
    except ValueError as error:  # a whole number longer than Python converts
        raise UsageError(f"{origin}: a number in it cannot be read ({error}); shorten it") from None


def entries(value: Json, origin: str) -> tuple[Entry, ...]:
    """Give each entry of a list its number.

    Raises UsageError when ``value`` is no list, an empty one, or one of more than MOST_ENTRIES.
    """
    if not isinstance(value, list):
        raise UsageError(f"{origin}: the file holds {described(value)}; it must hold a JSON list")
    if not value:
        raise UsageError(f"{origin}: the list is empty; it needs at least one entry")
    if len(value) > MOST_ENTRIES:
        raise UsageError(
            f"{origin}: {len(value)} entries, more than {MOST_ENTRIES}, the limit; split the file"
        )
    return tuple(Entry(origin, number, entry) for number, entry in enumerate(value, start=1))


def described(value: Json) -> str:
    """Show a JSON value on one line, as JSON spells it; long ones are cut, whole lists and objects named."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
