"""What the evidence says of a device's numbers, apart from what the guide's limits say.

The guide compares texts, which two sound devices of different rounding need not write alike. Here only
figures count that rounding moves little: distances under teacher forcing, and the error ratio against the
FP32 reference, which alone can show that a difference is no more than rounding. No verdict or exit code
follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from pytest_gptoss.judge.figures import holds
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import FORCED
from pytest_gptoss.report.fleet import names_of
from pytest_gptoss.report.shown_nodes import fleet_part
from pytest_gptoss.report.wording import Wording

__all__ = ["ERROR_RATIO", "Equivalence", "equivalence", "equivalence_line"]

Equivalence: TypeAlias = Literal["EQUIVALENT WITHIN ROUNDING", "DIFFERENT", "UNDECIDED"]
Row: TypeAlias = Mapping[str, Json]

ERROR_RATIO = "precision.error_ratio"
_NUMERIC = (
    "precision.perplexity_diff",
    "precision.hidden_cosine",
    "precision.kl",
    "precision.forced_agreement",
    "precision.decode_prefill",
    ERROR_RATIO,
)
"""Rows whose own figure counts."""
_FORCED_ONLY = ("precision.token_match_rate", "precision.rouge_l")
"""Rows whose figure under teacher forcing counts, whichever of their statistics is gated."""
_ORDER: tuple[Equivalence, ...] = ("DIFFERENT", "UNDECIDED", "EQUIVALENT WITHIN ROUNDING")
"""Of several devices the first of these stands for the run."""

_MOST = 4
"""Reasons that a line tells of a fleet, whose nodes may have some of each."""


def equivalence(rows: Iterable[Row]) -> dict[str, Json] | None:
    """The run's ``verdict``, its ``reasons`` and the ``rows`` that decide; None where no row counts.

    A reason has a ``code``, the device ``npu``, a ``threshold_id`` and a ``text``, empty where there is none.
    A row has ``npu``, ``threshold_id``, ``statistic``, ``value``, ``unit``, ``comparison``, ``limit``,
    ``ci`` and ``holds``.
    """
    table = [row for row in rows if row.get("threshold_id") in (*_NUMERIC, *_FORCED_ONLY)]
    devices = dict.fromkeys(row["npu"] for row in table)
    found = [_of_device(npu, table) for npu in devices]
    if not any(figures for _, _, figures in found):
        return None
    return {
        "verdict": min((verdict for verdict, _, _ in found), key=_ORDER.index),
        "reasons": [reason for _, reasons, _ in found for reason in reasons],
        "rows": [figure for _, _, figures in found for figure in figures],
    }


def _of_device(npu: str, table: Sequence[Row]) -> tuple[Equivalence, list[Json], list[Json]]:
    rows = {row["threshold_id"]: row for row in table if row["npu"] == npu}
    figures = [
        figure
        for threshold_id in (*_NUMERIC, *_FORCED_ONLY)
        if threshold_id in rows and (figure := _figure(rows[threshold_id])) is not None
    ]
    if not figures:
        return "UNDECIDED", [_reason("unmeasured", npu, ERROR_RATIO)], figures
    failing = [figure for figure in figures if not figure["holds"]]
    if failing:
        return "DIFFERENT", [_reason("fails", npu, each["threshold_id"]) for each in failing], figures
    ratio = next((figure for figure in figures if figure["threshold_id"] == ERROR_RATIO), None)
    if ratio is None:
        return "UNDECIDED", [_without_ratio(npu, rows.get(ERROR_RATIO))], figures
    if ratio["ci"] is None:
        return "UNDECIDED", [_reason("no_interval", npu, ERROR_RATIO)], figures
    if not all(holds(end, ratio["comparison"], ratio["limit"]) for end in ratio["ci"]):
        return "UNDECIDED", [_reason("unproven", npu, ERROR_RATIO)], figures
    missing = [name for name, row in rows.items() if row["verdict"] in ("INVALID", "WAIVED")]
    within = _reason("within_part" if missing else "within", npu, ERROR_RATIO, ", ".join(missing))
    return "EQUIVALENT WITHIN ROUNDING", [within], figures


def _figure(row: Row) -> dict[str, Json] | None:
    """The figure of a row that counts; None where it was not measured."""
    common = {key: row[key] for key in ("npu", "threshold_id", "comparison", "unit")}
    if row["threshold_id"] not in _FORCED_ONLY or row["statistic"] == FORCED:
        if row["verdict"] not in ("PASS", "FAIL"):
            return None
        own = {"statistic": row["statistic"], "value": row["value"], "limit": row["limit"], "ci": row["ci"]}
        return {**common, **own, "holds": row["verdict"] == "PASS"}
    beside = row["details"].get("beside") or {}
    if beside.get("statistic") != FORCED or beside.get("value") is None or beside.get("limit") is None:
        return None
    value, bound = beside["value"], beside["limit"]
    other = {"statistic": FORCED, "value": value, "limit": bound, "ci": beside.get("interval")}
    return {**common, **other, "holds": holds(value, row["comparison"], bound)}


def _without_ratio(npu: str, row: Row | None) -> dict[str, Json]:
    """Why there is no error ratio; a row without a condition or one that was not selected has no verdict."""
    if row is None or row["verdict"] == "SKIPPED":
        return _reason("no_ratio", npu, ERROR_RATIO, "" if row is None else row["reason"] or "")
    code = "waived_ratio" if row["verdict"] == "WAIVED" else "invalid_ratio"
    return _reason(code, npu, ERROR_RATIO, row["reason"] or "")


def _reason(code: str, npu: str, threshold_id: str, text: str = "") -> dict[str, Json]:
    return {"code": code, "npu": npu, "threshold_id": threshold_id, "text": text}


def equivalence_line(document: Mapping[str, Json], translate: Wording) -> str | None:
    """The run's equivalence in a line, with the figures that decide; None where there is none."""
    found = document["run"].get("equivalence")
    if not found:
        return None
    several = len({reason["npu"] for reason in found["reasons"]}) > 1
    if fleet_part(document) is not None:
        reasons = _of_nodes(found, translate)
    else:
        told = (_reason_words(each, found["rows"], translate, several) for each in found["reasons"])
        reasons = "; ".join(told)
    return translate("equivalence", verdict=translate(f"equivalence.{found['verdict']}"), reasons=reasons)


def _of_nodes(found: Row, translate: Wording) -> str:
    """A fleet's reasons, those of the same words together; of many the first, and how many more there are."""
    nodes: dict[str, list[str]] = {}
    for each in found["reasons"]:
        words = _reason_words(each, found["rows"], translate, several=False)
        nodes.setdefault(words, []).append(each["npu"])
    told = [f"{names_of(names, translate)}: {words}" for words, names in nodes.items()]
    if len(told) > _MOST:
        told = [*told[:_MOST], translate("more", count=len(told) - _MOST).rstrip(".。")]
    return "; ".join(told)


def _reason_words(reason: Row, rows: Sequence[Row], translate: Wording, several: bool) -> str:
    row = next(
        (each for each in rows if all(each[key] == reason[key] for key in ("npu", "threshold_id"))), None
    )
    words = translate(
        f"equivalence.{reason['code']}",
        row=reason["threshold_id"],
        figure="" if row is None else _figure_words(row, translate),
        text=f" ({reason['text']})" if reason["text"] else "",
    )
    return f"{reason['npu']}: {words}" if several else words


def _figure_words(row: Row, translate: Wording) -> str:
    value = translate.figure(row["value"], row["unit"], apart_from=row["limit"])
    limit = f"{row['comparison']} {translate.limit(row['limit'])}"
    if row["ci"] is None:
        return translate("equivalence.figure", value=value, limit=limit)
    interval = " - ".join(translate.figure(end, apart_from=row["limit"]) for end in row["ci"])
    return translate("equivalence.figure.interval", value=value, limit=limit, interval=interval)
