"""Plots of precision: where answers fork, agreement by margin, KL divergence by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.charts.chart import Chart, Document, Row, Series
from pytest_gptoss.report.charts.limits import limit_of
from pytest_gptoss.report.tables.forks import forks
from pytest_gptoss.report.wording import Wording

__all__ = ["precision_charts"]


def precision_charts(document: Document, npu: str, translate: Wording) -> list[Chart]:
    """Where answers fork, agreement by margin, KL by position: those that were measured."""
    tables: Mapping[str, Json] = next(
        (row for row in document["measurements"].get("divergence", ()) if row["device"] == npu), {}
    )
    found = [
        _forks(document, npu, translate),
        _binned(document, npu, translate, "agreement", tables.get("agreement_by_margin"), axis="margin"),
        _binned(document, npu, translate, "kl", tables.get("kl_by_position"), axis="position"),
    ]
    return [chart for chart in found if chart is not None]


def _forks(document: Document, npu: str, translate: Wording) -> Chart | None:
    prompts = [
        row
        for row in document["measurements"].get("prompts", ())
        if row["device"] == npu and row["match"] is not None
    ]
    if not prompts:
        return None
    forked = sorted(forks(document, npu), key=lambda prompt: prompt["fork"]["index"])
    longest = max(len(prompt["gpu_token_ids"] or ()) for prompt in prompts)
    x, y = [0.0], [1.0]
    places: dict[str, list[tuple[float, float]]] = {}
    for count, prompt in enumerate(forked, start=1):
        at, left = float(prompt["fork"]["index"]), 1 - count / len(prompts)
        x.append(at)
        y.append(left)
        places.setdefault(prompt["fork"]["kind"], []).append((at, left))
    # The curve runs on to the end of the longest answer, unless the last fork lies there.
    if x[-1] < longest:
        x.append(float(longest))
        y.append(y[-1])
    curve = Series(translate("axis.same"), npu, "step", tuple(x), tuple(y))
    marks = []
    for style, (kind, points) in enumerate(places.items()):
        at_tokens, shares = zip(*points, strict=True)
        marks.append(Series(translate.word("kind", kind), kind, "points", at_tokens, shares, style=style))
    return Chart(
        "forks", translate("chart.forks"), translate("axis.token"), translate("axis.same"), (curve, *marks),
        **limit_of(document, npu, "precision.token_match_rate", translate),
    )  # fmt: skip


def _binned(
    document: Document, npu: str, translate: Wording, figure: str, bins: Sequence[Row] | None, *, axis: str
) -> Chart | None:
    if not bins:
        return None
    ids = {"agreement": "precision.forced_agreement", "kl": "precision.kl"}
    ticks = tuple((float(index), _span(row)) for index, row in enumerate(bins))
    values = tuple(float(row[figure]) for row in bins)
    return Chart(
        figure,
        translate(f"chart.{figure}"),
        translate(f"axis.{axis}"),
        translate(f"axis.{figure}"),
        (Series(npu, npu, "bar", tuple(index for index, _ in ticks), values),),
        ticks=ticks,
        log_y=figure == "kl" and all(value > 0 for value in values),
        **limit_of(document, npu, ids[figure], translate),
    )


def _span(row: Row) -> str:
    return f"{row['from']:g}+" if row["to"] is None else f"{row['from']:g}-{row['to']:g}"
