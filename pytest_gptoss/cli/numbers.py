"""Numbers among a subcommand's arguments."""

from __future__ import annotations

import math

from pytest_gptoss.model.errors import UsageError

__all__ = ["number", "whole_number"]


def number(option: str, text: str, *, above: float, most: float) -> float:
    """A number above ``above`` and at most ``most``; raises UsageError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return _within(option, text, value, "a number", above=above, most=most)


def whole_number(option: str, text: str, *, most: int) -> int:
    """A whole number from 1 to ``most``; raises UsageError."""
    try:
        value = float(int(text))
    except ValueError:
        value = math.nan
    return int(_within(option, text, value, "a whole number", above=0, most=most))


def _within(option: str, text: str, value: float, kind: str, *, above: float, most: float) -> float:
    if not above < value <= most:
        raise UsageError(f"{option} is {text!r}: it takes {kind} above {above:g}, at most {most:g}")
    return value
