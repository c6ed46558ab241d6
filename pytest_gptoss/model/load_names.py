"""Names of load levels and of the figures of a level, as threshold ids and reports write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf

from pytest_gptoss.model.verdicts import Comparison

__all__ = [
    "GUIDE_FIGURES",
    "LEVEL",
    "LOAD_FIGURES",
    "TRACE",
    "LoadFigure",
    "concurrency_of",
    "is_open_level",
    "level_name",
    "level_order",
    "rate_name",
    "rate_of",
    "read_level",
]

_CLOSED_LOOP = r"c(0[1-9]|[1-9][0-9]{1,8})"
_OPEN_LOOP = r"r(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?"
TRACE = "trace"
LEVEL = rf"(?:{_CLOSED_LOOP}|{_OPEN_LOOP}|{TRACE})(?:-[a-z0-9]+)*"
"""What a level's name looks like: ``c16``, and ``c16-p4096`` for another shape of the same concurrency;
``r0.5`` for requests that arrive at that rate, ``trace`` for those of a trace."""
_LAST = 10**9


def level_name(concurrency: int) -> str:
    """The name of the level that is told apart by its concurrency alone: ``c16``."""
    return f"c{concurrency:02d}"


def rate_name(rate: float) -> str:
    """The name of the level that is told apart by its rate of arrivals alone: ``r0.5``, ``r8``."""
    return "r" + (f"{rate:.6f}".rstrip("0").rstrip("."))


def read_level(text: str) -> str | None:
    """The level's name that a text is; None for a text that can be none, such as ``c004``."""
    return text if re.fullmatch(LEVEL, text) else None


def concurrency_of(level: str) -> int | None:
    """The concurrency of a level whose name tells nothing else, as ``c16`` does; None for any other."""
    found = re.fullmatch(_CLOSED_LOOP, level)
    return int(found[1]) if found else None


def is_open_level(level: str) -> bool:
    """Whether a level's name is that of an open loop: requests that arrive at a rate, or as a trace says."""
    return re.fullmatch(rf"(?:{_OPEN_LOOP}|{TRACE})(?:-[a-z0-9]+)*", level) is not None


def rate_of(level: str) -> float:
    """Requests a second of an open level whose name tells nothing else; infinite for any other."""
    return float(level[1:]) if re.fullmatch(_OPEN_LOOP, level) else inf


def level_order(level: str) -> tuple[int, float, str]:
    """Sorts names of levels: by concurrency those that ``level_name`` gives, by rate the open ones behind
    them, then all others.
    """
    return concurrency_of(level) or _LAST, rate_of(level), level


@dataclass(frozen=True, slots=True)
class LoadFigure:
    """One figure of a load level.

    ``name`` is its part of threshold ids, ``key`` its place in a level's row of the reports, None where it
    has none. A limit is compared by ``comparison`` and has the ``unit``. ``title`` heads its percentiles;
    a figure without one is a single number, not a distribution.
    """

    name: str
    key: str | None
    comparison: Comparison
    unit: str
    title: str | None = None


LOAD_FIGURES = (
    LoadFigure("ttft", "ttft_ms", "<", "ms", "TTFT"),
    LoadFigure("first_text", "first_text_ms", "<", "ms", "TTFT (text)"),
    LoadFigure("tpot", "tpot_ms", "<", "ms", "TPOT"),
    LoadFigure("itl", "itl_ms", "<", "ms", "ITL"),
    LoadFigure("e2e", "e2e_ms", "<", "ms", "E2E"),
    LoadFigure("client_delay", "client_delay_ms", "<", "ms", "client delay"),
    LoadFigure("send_delay", "send_delay_ms", "<", "ms", "send delay"),
    LoadFigure("throughput", "throughput_tok_s", ">", "tok/s"),
    LoadFigure("qps", "qps", ">", "req/s"),
    LoadFigure("error_rate", None, "<=", "share"),
    LoadFigure("goodput", "goodput", ">=", "share"),
)
GUIDE_FIGURES = tuple(each for each in LOAD_FIGURES if each.name in ("ttft", "tpot", "throughput", "qps"))
"""The figures of the acceptance guide's table."""
