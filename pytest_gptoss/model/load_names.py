"""Names of load levels and of the figures of a level, as threshold ids and reports write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_gptoss.model.verdicts import Comparison

__all__ = ["GUIDE_FIGURES", "LOAD_FIGURES", "LoadFigure", "concurrency_of", "level_name"]

_LEVEL = re.compile(r"c([0-9]{2,9})")


def level_name(concurrency: int) -> str:
    """A level's name in threshold ids: ``c16``."""
    return f"c{concurrency:02d}"


def concurrency_of(level: str) -> int | None:
    """The concurrency of a level by its name; None for a text that names none, such as ``c004``."""
    found = _LEVEL.fullmatch(level)
    concurrency = int(found[1]) if found else 0
    return concurrency if concurrency and level == level_name(concurrency) else None


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
    LoadFigure("throughput", "throughput_tok_s", ">", "tok/s"),
    LoadFigure("qps", "qps", ">", "req/s"),
    LoadFigure("error_rate", None, "<=", "share"),
)
GUIDE_FIGURES = tuple(each for each in LOAD_FIGURES if each.name in ("ttft", "tpot", "throughput", "qps"))
"""The figures of the acceptance guide's table."""
