"""Values as JSON allows them: every number finite or absent, whoever put it there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

__all__ = ["finite", "finite_only", "strict_json"]

_BEYOND_FLOATS = 2**1024


def finite(value: Any) -> Any:
    """A value as JSON allows it.

    JSON knows no infinity and no NaN: these become null, and so does a whole number that most readers of
    JSON take for infinity. A number of another kind (numpy's) becomes a
    plain one, and what JSON has no word for (a path, a date) its text.
    """
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [finite(each) for each in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value) if -_BEYOND_FLOATS < int(value) < _BEYOND_FLOATS else None
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)


def strict_json(document: Any, *, indent: int | None = None) -> str:
    """A document as JSON text; a number that is not finite becomes null, which reads as absent."""
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        # Rare, so that long documents are not walked twice for nothing.
        return json.dumps(finite(document), ensure_ascii=False, allow_nan=False, indent=indent)


def finite_only(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that are finite; what is not counts as not told."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}
