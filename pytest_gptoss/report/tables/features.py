"""The guide's feature table, filled from the verdicts that speak about each feature."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.headline import sentence
from pytest_gptoss.report.tables.configured import of_configuration
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.tables.verdict_words import verdict_cell
from pytest_gptoss.report.wording import Wording
from pytest_gptoss.report.worst_verdict import worst_verdict

__all__ = ["feature_table"]

Row = Mapping[str, Json]

FEATURES: Mapping[str, tuple[str, ...]] = {
    "aclgraph": (),
    "tp": (),
    "pp": (),
    "ep": (),
    "bf16": ("capability.bf16",),
    "mxfp4": ("capability.mxfp4",),
    "tools": ("capability.tool",),
    "reasoning": ("capability.reasoning",),
    "context": ("capability.context", "needle.recall.d100-128k"),
}
"""The guide's rows, and the beginnings of the threshold ids that speak about each.

Those without one do not show over HTTP: comparisons of configurations speak about them.
"""


def feature_table(document: Mapping[str, Json], npu: str, translate: Wording) -> Table:
    """The guide's features, then every other capability that was tried."""
    verdicts = [row for row in document["verdicts"] if row["npu"] == npu]
    reported: list[Row] = []
    rows = []
    for feature, beginnings in FEATURES.items():
        name = Cell(translate(f"feature.{feature}"))
        if not beginnings:
            rows.append((name, *of_configuration(document, feature, npu, translate)))
            continue
        about = [row for row in verdicts if row["threshold_id"].startswith(beginnings)]
        reported += about
        rows.append((name, verdict_cell(worst_verdict(about), translate), Cell(_remark(about, translate))))
    rows += [
        (
            Cell(translate.name(row["threshold_id"])),
            verdict_cell(row, translate),
            Cell(_remark([row], translate)),
        )
        for row in verdicts
        if row["family"] == "capability" and row not in reported
    ]
    title = translate("section.features")
    heads = ("feature", "status", "remark")
    return Table(
        "features",
        title if len(npus(document)) == 1 else f"{title} ({npu})",
        tuple(translate(f"head.{head}") for head in heads),
        tuple(rows),
        empty=translate("nothing.measured"),
    )


def _remark(about: list[Row], translate: Wording) -> str:
    """What was seen, from the verdict that decides."""
    row = worst_verdict(about)
    if row is None:
        return ""
    figures = [] if row["value"] is None else [sentence(row, translate)]
    return "; ".join([*figures, *([row["reason"]] if row["reason"] else [])])
