"""The parts of the report, in one list that Markdown and the page share.

Markdown writes the parts in this order. The page has sections, each with its parts in this order below its
drawings. What stands first, the verdict and what to look at, both write in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.instrument import uncalibrated
from pytest_gptoss.report.tables.capacity import capacity_table
from pytest_gptoss.report.tables.changed import change_table, waiver_table
from pytest_gptoss.report.tables.configurations import (
    configuration_findings,
    configuration_table,
    server_fact_table,
)
from pytest_gptoss.report.tables.configured import configured_table
from pytest_gptoss.report.tables.error_parts import error_parts_table
from pytest_gptoss.report.tables.features import feature_table
from pytest_gptoss.report.tables.forks import fork_table
from pytest_gptoss.report.tables.load import instrument_table, load_tables
from pytest_gptoss.report.tables.needles import needle_table, needle_task
from pytest_gptoss.report.tables.precision import edge_table, limit_notes, precision_table
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.run_facts import device_table, fact_table, notes, scenario_table
from pytest_gptoss.report.tables.stress import stress_table
from pytest_gptoss.report.tables.table import Table
from pytest_gptoss.report.tables.verdicts import not_measured_table, skipped_table, verdict_table
from pytest_gptoss.report.wording import Wording

__all__ = ["PARTS", "SECTIONS", "Part", "Section"]

Document: TypeAlias = Mapping[str, Json]
Section: TypeAlias = Literal[
    "thresholds", "precision", "needle", "performance", "stress", "features", "provenance"
]
Tables: TypeAlias = Callable[[Document, Wording], Sequence[Table]]

SECTIONS: tuple[Section, ...] = (
    "thresholds", "precision", "needle", "performance", "stress", "features", "provenance",
)  # fmt: skip
"""The page's sections in their order; ``section.NAME`` is the heading's wording."""


def _nothing(document: Document, translate: Wording) -> tuple[()]:
    return ()


def _one(build: Callable[[Document, Wording], Table]) -> Tables:
    """One table for the whole run."""
    return lambda document, translate: [build(document, translate)]


def _each_device(*builds: Callable[[Document, str, Wording], Table]) -> Tables:
    """These tables for one device under test after the other."""
    return lambda document, translate: [
        build(document, npu, translate) for npu in npus(document) for build in builds
    ]


@dataclass(frozen=True, slots=True)
class Part:
    """Tables, and remarks below them. ``section`` is the page's section in which they lie."""

    section: Section
    tables: Tables = _nothing
    remarks: Callable[[Document, Wording], Sequence[str]] = _nothing
    title: str = ""
    """The wording key of the remarks' own heading; they are then listed below it."""
    headed: bool = False
    """Whether the page too gives each table a heading, and says so where one has no rows."""
    only: Literal["", "markdown", "page"] = ""
    """The one report that has this part; empty for both."""


PARTS = (
    Part("precision", _each_device(precision_table, fork_table)),
    Part("precision", _each_device(error_parts_table)),
    Part("precision", _one(edge_table), only="page"),
    Part("thresholds", remarks=limit_notes),
    Part("needle", _each_device(needle_table), needle_task),
    Part("performance", load_tables),
    Part("performance", _each_device(capacity_table)),
    Part("stress", _each_device(stress_table)),
    Part("features", _each_device(feature_table)),
    Part("features", _one(configured_table)),
    Part("features", _one(configuration_table), configuration_findings),
    Part("thresholds", _each_device(verdict_table), only="markdown"),
    Part("provenance", _one(device_table)),
    Part("provenance", _one(server_fact_table)),
    Part("provenance", _one(change_table), headed=True),
    Part("provenance", _one(waiver_table), headed=True),
    Part("provenance", _one(skipped_table), headed=True),
    Part("provenance", _one(not_measured_table), headed=True),
    Part("provenance", _one(scenario_table), headed=True),
    Part("provenance", remarks=lambda document, _: notes(document), title="section.notes"),
    Part(
        "performance",
        _one(instrument_table),
        lambda document, translate: [
            translate("instrument.problem", problem=each) for each in uncalibrated(document)
        ],
    ),
    Part("provenance", _one(fact_table)),
)
"""Markdown has ``thresholds`` as a table; the page draws them as ranges."""
