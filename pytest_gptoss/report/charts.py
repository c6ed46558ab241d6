"""What the plots of the report show, as data: their series, their limits, their words. Drawn elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.load_names import GUIDE_FIGURES
from pytest_gptoss.report.tables.forks import forks
from pytest_gptoss.report.tables.load import levels
from pytest_gptoss.report.tables.needles import size
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.wording import Wording

__all__ = ["Chart", "Kind", "Series", "chart_table", "load_charts", "needle_chart", "precision_charts"]

Kind: TypeAlias = Literal["line", "step", "bar", "points"]
Document = Mapping[str, Json]
Row = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: points ``x``, ``y``, with whiskers from ``y`` up to ``high`` where there are any.

    ``hue`` is the device's name, a fork's kind or a level: whatever its colour stands for; ``style`` numbers
    line styles and markers, so that nothing is told by colour alone.
    """

    label: str
    hue: str
    kind: Kind
    x: tuple[float, ...]
    y: tuple[float, ...]
    high: tuple[float, ...] = ()
    style: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. ``name`` is what it shows, a word of ours; ``ticks`` names positions on the x axis, where it
    is not a plain scale.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    limit: float | None = None
    limit_label: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    log_x: bool = False
    log_y: bool = False
    note: str = ""
    unit: str = ""

    def alt(self, translate: Wording) -> str:
        """The plot in a sentence, for those who do not see it."""
        parts = [self.title]
        if self.limit_label:
            parts.append(self.limit_label)
        for each in self.series:
            low, high = (translate.figure(end(each.y), apart_from=self.limit) for end in (min, max))
            key = "alt.one" if low == high else "alt.range"
            parts.append(translate(key, series=each.label, low=low, high=high))
        return "; ".join(parts)


def chart_table(chart: Chart, translate: Wording) -> Table:
    """The figures of a plot."""
    names = dict(chart.ticks)
    whiskers = any(each.high for each in chart.series)
    rows = []
    for each in chart.series:
        for index, (x, y) in enumerate(zip(each.x, each.y, strict=True)):
            high = (
                (Cell(translate.figure(each.high[index]) if each.high else "", figure=True),)
                if whiskers
                else ()
            )
            at = names.get(x) or translate.figure(x)
            figure = translate.figure(y, apart_from=chart.limit)
            rows.append((Cell(each.label), Cell(at, figure=True), Cell(figure, figure=True), *high))
    head = (translate("head.series"), chart.x_label, chart.y_label, *(("p99",) if whiskers else ()))
    return Table(f"data-{chart.name}", chart.title, head, tuple(rows))


# -- precision --------------------------------------------------------------------------------


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
        **_limit(document, npu, "precision.token_match_rate", translate),
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
        **_limit(document, npu, ids[figure], translate),
    )


def _span(row: Row) -> str:
    return f"{row['from']:g}+" if row["to"] is None else f"{row['from']:g}-{row['to']:g}"


# -- long context -----------------------------------------------------------------------------


def needle_chart(document: Document, translate: Wording) -> Chart | None:
    """How the first token's wait grows with the prompt, on every device that was asked."""
    cells = [
        cell
        for cell in document["measurements"].get("needles", ())
        if not cell["control"] and cell["first_token_ms"] is not None and cell["prompt_tokens"]
    ]
    series: list[Series] = []
    for device in dict.fromkeys(cell["device"] for cell in cells):
        points = sorted(
            (cell["prompt_tokens"], cell["first_token_ms"]) for cell in cells if cell["device"] == device
        )
        x, y = zip(*points, strict=True)
        series.append(Series(device, device, "line", x, y, style=len(series)))
    if not series:
        return None
    lengths = sorted({cell["length"] for cell in cells})
    return Chart(
        "needle",
        translate("chart.needle"),
        translate("axis.prompt_tokens"),
        translate("axis.first_token"),
        tuple(series),
        ticks=tuple((float(length), size(length)) for length in lengths),
        log_x=True,
        log_y=True,
    )


# -- performance ------------------------------------------------------------------------------

_AXES = {"ms": "ms", "tok/s": "tok_s", "req/s": "qps"}
"""The wording of an axis by its unit."""


def load_charts(document: Document, translate: Wording) -> list[Chart]:
    """The guide's four figures against concurrency, all devices together, and distributions."""
    measured = levels(document)
    if not measured:
        return []
    charts = [
        chart
        for each in GUIDE_FIGURES
        for chart in _by_concurrency(
            document, measured, translate, name=each.name, key=str(each.key), axis=_AXES[each.unit]
        )
    ]
    for name, key in (("ttft_dist", "ttft_ms"), ("itl_dist", "itl_ms")):
        charts += _distribution(measured, name, key, translate)
    return charts


def _by_concurrency(
    document: Document, measured: Sequence[Row], translate: Wording, *, name: str, key: str, axis: str
) -> Iterator[Chart]:
    latency = key.endswith("_ms")
    series: list[Series] = []
    for label, device in {_measured_as(row): row["device"] for row in measured}.items():
        rows = sorted(
            (row for row in measured if _measured_as(row) == label and row.get(key) is not None),
            key=lambda row: row["concurrency"],
        )
        if rows:
            x = tuple(float(row["concurrency"]) for row in rows)
            y = tuple(float(row[key]["p50"] if latency else row[key]) for row in rows)
            high = tuple(float(row[key]["p99"]) for row in rows) if latency else ()
            series.append(Series(label, device, "line", x, y, high, len(series)))
    if not series:
        return
    at = sorted({x for each in series for x in each.x})
    yield Chart(
        name,
        translate(f"chart.{name}"),
        translate("axis.concurrency"),
        translate(f"axis.{axis}"),
        tuple(series),
        ticks=tuple((x, f"{x:g}") for x in at),
        log_x=len(at) > 1,
        note=translate("chart.whiskers") if latency else "",
        **_limit_of_level(document, name, translate),
    )


def _limit_of_level(document: Document, name: str, translate: Wording) -> dict[str, Json]:
    """The limit that the guide sets for this figure, with the level that it is for."""
    row = next(
        (
            row
            for row in [*document["verdicts"], *document["not_judged"]]
            if row["threshold_id"].startswith(f"performance.{name}.") and row["tier"] == "contract"
        ),
        None,
    )
    return {} if row is None else _drawn(row, translate, row["threshold_id"].rpartition(".")[2])


def _distribution(measured: Sequence[Row], name: str, key: str, translate: Wording) -> Iterator[Chart]:
    series: list[Series] = []
    devices = list(dict.fromkeys(row["device"] for row in measured))
    for row in measured:
        points = _cumulative(row, key)
        if points:
            x, y = zip(*points, strict=True)
            style = devices.index(row["device"])
            series.append(Series(_level_name(row), row["level"], "step", x, y, style=style))
    if series:
        share = "axis.share_itl" if key == "itl_ms" else "axis.share"
        positive = all(x > 0 for each in series for x in each.x)
        yield Chart(
            name,
            translate(f"chart.{name}"),
            translate("axis.ms"),
            translate(share),
            tuple(series),
            log_x=positive,
        )


def _cumulative(row: Row, key: str) -> list[tuple[float, float]]:
    """A latency's cumulative distribution, from the percentiles that its curve holds, evenly spaced."""
    curve = (row.get(key) or {}).get("curve") or ()
    last = max(1, len(curve) - 1)
    return [(float(value), index / last) for index, value in enumerate(curve)]


# -- limits -----------------------------------------------------------------------------------


def _limit(document: Document, npu: str, threshold_id: str, translate: Wording) -> dict[str, Json]:
    row = next(
        (row for row in document["verdicts"] if row["npu"] == npu and row["threshold_id"] == threshold_id),
        None,
    )
    return {} if row is None else _drawn(row, translate)


def _drawn(row: Row, translate: Wording, where: str = "") -> dict[str, Json]:
    text = translate("chart.limit", limit=f"{row['comparison']} {translate.limit(row['limit'], row['unit'])}")
    return {"limit": float(row["limit"]), "limit_label": f"{text} {where}".strip()}


def hues(document: Document) -> dict[str, str]:
    """The colour of each device and of each level, by the name of a style variable."""
    found = {device["name"]: device["role"] for device in document["devices"] if device["role"] != "npu"}
    found |= {name: f"npu{min(index, 3)}" for index, name in enumerate(npus(document))}
    at_levels = dict.fromkeys(row["level"] for row in levels(document))
    found |= {name: f"level{index % 6}" for index, name in enumerate(at_levels)}
    return {**found, "real": "real", "near tie": "near", "length": "length", "unknown": "unknown"}


def _level_name(row: Row) -> str:
    return f"{_measured_as(row)} {row['level']}"


def _measured_as(row: Row) -> str:
    """The device, with the trial's number from the second trial on."""
    return f"{row['device']} #{row['trial'] + 1}" if row["trial"] else str(row["device"])
