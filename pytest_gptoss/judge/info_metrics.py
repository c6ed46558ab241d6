"""Metrics that are printed with verdicts and never judged: which a table brings, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.needle_cells import cells_of, full_grid
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["info_names"]

_PRINTED = (
    "noise_npu", "noise_gpu", "effort", "edges", "hidden_error_ratio",
    "needle_first_token", "needle_edge", "position_drift",
)  # fmt: skip
"""The order of reports; what is not here comes last, as the table has it."""


def info_names(thresholds: Iterable[Threshold], metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Names of the info metrics of a table's rows, as reports order them; needles the shortest first.

    Those of the full needle grid are among them: a replay may read a run that measured it.
    """
    rows = tuple(thresholds)
    cells = [f"needle_recall.{cell.name}" for cell in full_grid(cells_of(rows))]
    named = dict.fromkeys([*cells, *(row.metric for row in rows)])
    found = dict.fromkeys(info for name in named for info in metrics[name].info)
    return tuple(sorted(found, key=_rank))


def _rank(name: str) -> int:
    family = name.partition(".")[0]
    return _PRINTED.index(family) if family in _PRINTED else len(_PRINTED)
