"""A page of ``/metrics`` in Prometheus' text form, read sample by sample.

Only numbers that count something are read: NaN, infinity and what is no number mean that the server does
not tell, and so does what no counter reaches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

__all__ = ["totals"]

_SAMPLE = re.compile(
    r'^([A-Za-z_:][A-Za-z0-9_:]*)[ \t]*(?:\{(?:[^"}\n]|"(?:\\.|[^"\\\n])*")*\})?[ \t]+(\S+)', re.MULTILINE
)
_MOST = 2.0**53
"""Beyond it a float, which is what a counter is, does not count one by one."""


def totals(text: str) -> Mapping[str, float]:
    """Every metric's samples, summed over their labels, by the metric's name.

    A metric is left out where one of its samples is NaN, infinite, beyond 2**53 or no number: a sum of the
    others would be another figure.
    """
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + _number(value)
    return {name: total for name, total in found.items() if abs(total) <= _MOST}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
