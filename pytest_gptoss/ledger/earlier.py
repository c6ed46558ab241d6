"""A run's rows in its ledger: their figures in earlier runs of the same device, profile and workload."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from pytest_gptoss.ledger.entry import identity, workload_sha256
from pytest_gptoss.ledger.history import Series, histories
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.ledger_target import LedgerTarget

__all__ = ["MOST", "earlier_figures"]

MOST = 40
"""Earlier runs that a report shows, the latest ones."""

Row: TypeAlias = tuple[str, str]
"""Device and threshold id."""


def earlier_figures(target: LedgerTarget, document: Mapping[str, Json]) -> dict[Row, list[dict[str, Json]]]:
    """``history`` of a run's contract verdicts: each earlier run's id, start and value, the oldest first.

    Rows without any have none. Raises LedgerError where the ledger cannot be read.
    """
    run, workload = document["run"], workload_sha256(document["run"])
    devices = {
        each["name"]: identity(each["name"], each["label"], each["server_version"])
        for each in document["devices"]
    }
    found = {series.asked: series for series in histories(target)}
    told = {}
    for row in document["verdicts"]:
        of_row = (row["threshold_id"], row["statistic"], row["unit"])
        series = found.get((devices[row["npu"]], run["profile"], workload, *of_row))
        if series is not None:
            told[row["npu"], row["threshold_id"]] = _figures(series)
    return told


def _figures(series: Series) -> list[dict[str, Json]]:
    return [
        {"run_id": each.run_id, "started": each.started, "value": each.value}
        for each in series.points[-MOST:]
        if math.isfinite(each.value)  # a database may be anybody's
    ]
