"""Ids of scenarios: fit for a file name, and equal for equal records only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["MOST_BYTES", "begins_with", "fits", "is_fit", "with_digest"]

MOST_BYTES = 180
"""Of an id, in UTF-8: with an array's name and a suffix it stays below the 255 that file systems take."""
MARK = "~"
"""Stands before a digest, and in no id that has none."""
DIGITS = 16
_OTHER = re.compile(r"[^\w. -]")


def fits(spelled: str) -> bool:
    """Whether a spelling can be an id as it is: a file name everywhere, not too long, without the mark."""
    return not _OTHER.search(spelled) and len(spelled.encode()) <= MOST_BYTES


def is_fit(scenario_id: str) -> bool:
    """Whether a text may be an id, with a digest or without: none can be taken for a path."""
    return fits(scenario_id.replace(MARK, "_"))


def with_digest(spelled: str, record: Any) -> str:
    """The spelling as far as it fits, and a digest of all fields of the record."""
    digest = hashlib.sha256(_told(record).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_cut(spelled)}{MARK}{digest[:DIGITS]}"


def begins_with(scenario_id: str, start: str) -> bool:
    """Whether an id begins with these whole words, as far as they fit into one."""
    start = start if fits(start) else _cut(start)
    return scenario_id.startswith(start) and scenario_id[len(start) :][:1] in ("", "-", MARK)


def _cut(spelled: str) -> str:
    room = MOST_BYTES - len(MARK) - DIGITS
    return _OTHER.sub("_", spelled).encode()[:room].decode("utf-8", "ignore")


def _told(value: Any) -> str:
    """The same text for equal values, and for those only: 1 and 1.0 are equal."""
    if is_dataclass(value):
        inside = ", ".join(_told(getattr(value, each.name)) for each in fields(value))
        return f"{type(value).__name__}({inside})"
    if isinstance(value, int | float):
        return repr(value.as_integer_ratio())
    return repr(value)
