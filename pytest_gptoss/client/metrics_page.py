"""A page of ``/metrics`` in Prometheus' text form, read sample by sample.

The one place that parses this form; https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

__all__ = ["PROCESS_START", "Sample", "metric_names", "samples", "totals"]

PROCESS_START = "process_start_time_seconds"
"""The standard metric for the start of a server's process, in seconds since 1970 by the server's clock."""

_SAMPLE = re.compile(
    r'^([A-Za-z_:][A-Za-z0-9_:]*)[ \t]*(?:\{((?:[^"}\n]|"(?:\\.|[^"\\\n])*")*)\})?[ \t]+(\S+).*', re.MULTILINE
)
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:\\.|[^"\\])*)"')
_LONGEST_NAME = 81
_MOST = 2.0**53
"""Counters are floats, and beyond this value a float cannot count one by one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page. ``value`` is NaN where the page has no number; ``line`` is the line as it came."""

    name: str
    value: float
    line: str
    written_labels: str

    @property
    def labels(self) -> Mapping[str, str]:
        """Label -> value; escapes in values are left as they are."""
        return dict(_LABEL.findall(self.written_labels))


def samples(text: str, name: str | None = None) -> Iterator[Sample]:
    """The samples of a page in its order: all, or those of the metric ``name``."""
    for found in _SAMPLE.finditer(text):
        if name is None or found[1] == name:
            yield Sample(found[1], _number(found[3]), found[0].rstrip(), found[2] or "")


def totals(text: str) -> Mapping[str, float]:
    """Every metric's samples, summed over their labels, by the metric's name.

    A metric is left out where one of its samples is NaN, infinite, beyond 2**53 or no number: a sum of the
    others would be another figure.
    """
    found: dict[str, float] = {}
    for sample in samples(text):
        found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return {name: total for name, total in found.items() if abs(total) <= _MOST}


def metric_names(text: str, *, most: int) -> list[str]:
    """The first names on a page, without repetition; overlong ones are passed over."""
    names = dict.fromkeys(sample.name for sample in samples(text) if len(sample.name) <= _LONGEST_NAME)
    return list(islice(names, most))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
