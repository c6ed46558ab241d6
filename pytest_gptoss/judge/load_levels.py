"""Load levels by name: how many requests are in flight (``c16``)."""

from __future__ import annotations

import re

from pytest_gptoss.scenarios.kinds import Load

__all__ = ["read_level"]

_LEVEL = re.compile(r"c([0-9]{2,4})")


def read_level(text: str) -> int | None:
    """The concurrency of a level's name; None for what is none, or not written as ``Load.level`` does."""
    found = _LEVEL.fullmatch(text)
    concurrency = 0 if found is None else int(found[1])
    return concurrency if concurrency and Load("", concurrency).level == text else None
