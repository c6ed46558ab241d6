"""Preflight rows that must hold before a threshold is measured at all."""

from __future__ import annotations

from pytest_gptoss.judge.conditions import FIRST
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["gates"]

_READY = "preflight.ready"
_OWN = (_READY, "preflight.model", "preflight.tokenizer")
_DISTINCT = "preflight.distinct"
_UNGATED = ("preflight_ready", "preflight_baseline")


def gates(threshold: Threshold, metric: Metric) -> tuple[str, ...]:
    """Ids of the preflight rows that must hold before a threshold is measured."""
    if threshold.family == "preflight":
        return () if threshold.metric in _UNGATED else (_READY,)
    if metric.baseline:
        return (*_OWN, "preflight.baseline", _DISTINCT)
    return (*_OWN, _DISTINCT) if metric.condition is FIRST else _OWN
