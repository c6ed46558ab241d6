"""Figures as text, in as many digits as tell them from their limit, and the comparison with a limit."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping

from pytest_gptoss.model.verdicts import Comparison

__all__ = ["LONGEST_NUMBER", "exact", "fixed", "holds", "number", "percent"]

LONGEST_NUMBER = 24
"""Characters of the longest text that ``number`` and ``exact`` give: a float's own, sign and all."""

_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def holds(value: float, comparison: Comparison, limit: float) -> bool:
    """Whether a value meets a limit; "=" is exact."""
    return _COMPARE[comparison](value, limit)


def number(value: float, *, apart_from: float | None = None) -> str:
    """Write a figure in four significant digits, or in as many as it takes to tell it from another.

    So 0.94999 against a limit of 0.95 never reads "0.95". At most LONGEST_NUMBER characters.
    """
    value = _held(value)
    apart_from = None if apart_from is None else _held(apart_from)
    for digits in range(4, 17):
        text = _digits(value, digits)
        if apart_from is None or value == apart_from or text != _digits(apart_from, digits):
            return text
    return repr(value)


def exact(value: float) -> str:
    """Write a limit with all its digits: rounded it would be another one.

    At most LONGEST_NUMBER characters.
    """
    value = _held(value)
    return _whole(value) or repr(value)


def fixed(value: float, digits: int) -> str:
    """Write a figure with so many digits behind the point, at most 6; as ``number`` does where it is huge."""
    return f"{value:.{digits}f}" if abs(value) < 1e9 else number(value)


def percent(share: float) -> str:
    """Write a share in whole percent; as ``number`` does where it is huge."""
    return f"{share:.0%}" if abs(share) < 1e7 else f"{number(share * 100)}%"


def _held(value: float) -> float:
    """A whole number of any size as a float, the largest there is where none holds it."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _digits(value: float, digits: int) -> str:
    return _whole(value) or f"{value:.{digits}g}"


def _whole(value: float) -> str | None:
    """A whole number in full: 20480 tokens is not 2.048e+04."""
    return str(int(value)) if abs(value) < 1e9 and float(value).is_integer() else None
