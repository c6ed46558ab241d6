"""What broke a measurement off, said in the measurement itself: later rows come to it and find only that."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_gptoss.model.message import say
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.run.termination import interrupted_by

__all__ = ["INTERRUPTED", "interrupted", "interruption"]

INTERRUPTED = "interrupted"
"""The kind of failure of a measurement that was broken off."""
_LONGEST = 200
"""Characters of an exception's own words."""


def interruption(device: str, error: BaseException) -> Failure:
    """The failure of a whole measurement on ``device`` that ``error`` has broken off."""
    return Failure(
        "*",
        INTERRUPTED,
        say(
            "{device}: measuring was interrupted by {error}: measure again in a new run",
            device=device,
            error=_what(error),
        ),
    )


def interrupted(measurement: Measurement[Any], error: BaseException) -> Measurement[Any]:
    """The same measurement, which says first of all what has broken it off."""
    first = interruption(measurement.device, error)
    return dataclasses.replace(measurement, failures=(first, *measurement.failures))


def _what(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return interrupted_by()
    lines = printable(str(error)).strip().splitlines() or [""]
    said = lines[0][:_LONGEST]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
