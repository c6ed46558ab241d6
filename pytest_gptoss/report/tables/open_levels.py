"""Open levels as a table: how requests arrived, what became of them, and how late the client sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.judge.figures import percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.tables.verdict_words import verdict_cell
from pytest_gptoss.report.wording import Wording, split_id
from pytest_gptoss.report.worst_verdict import worst_verdict

__all__ = ["is_open", "open_table"]

Row = Mapping[str, Json]

_LATENCIES = (
    ("ttft_p50", "ttft_ms", "p50"),
    ("ttft_p99", "ttft_ms", "p99"),
    ("tpot", "tpot_ms", "p50"),
    ("send_delay", "send_delay_ms", "p99"),
)
"""Heading, the level's key, and the statistic."""


def is_open(level: Row) -> bool:
    """Whether a level of the document is an open one."""
    return level["concurrency"] is None


def open_table(
    measured: Sequence[Row], verdicts: Sequence[Row], title: str, translate: Wording, *, judged: bool
) -> Table:
    """The open levels of one device, with the verdicts on it; ``judged``: it is a device under test."""
    rows = [
        (
            Cell(_named(level)),
            *(
                Cell(_figure(level, key, statistic, translate), figure=True)
                for _, key, statistic in _LATENCIES
            ),
            Cell(translate.figure(level.get("throughput_tok_s")), figure=True),
            Cell(translate.figure(level.get("qps")), figure=True),
            Cell(_goodput(level, translate), figure=True),
            _status(level, verdicts, translate)
            if judged
            else Cell(translate("status.SHOWN"), status="SHOWN"),
        )
        for level in measured
    ]
    latencies = (head for head, _, _ in _LATENCIES)
    heads = ("level", *latencies, "throughput", "qps", "goodput", "status")
    return Table("open", title, tuple(translate(f"head.{head}") for head in heads), tuple(rows))


def _named(level: Row) -> str:
    """The level, its trial from the second on, and how requests arrive: ``r8 (poisson)``."""
    name = f"{level['level']} #{level['trial'] + 1}" if level["trial"] else level["level"]
    arrivals = level.get("arrivals")
    return f"{name} ({arrivals})" if arrivals else name


def _figure(level: Row, key: str, statistic: str, translate: Wording) -> str:
    found = level.get(key)
    return translate.figure(found[statistic] if found else None)


def _goodput(level: Row, translate: Wording) -> str:
    share = level.get("goodput")
    return translate.figure(None) if share is None else percent(share)


def _status(level: Row, verdicts: Sequence[Row], translate: Wording) -> Cell:
    of_level = [
        row
        for row in verdicts
        if row["family"] == "performance" and split_id(row["threshold_id"])[1] == level["level"]
    ]
    return verdict_cell(worst_verdict(of_level), translate)
