"""Plots of load: figures by concurrency, and distributions of latencies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.load_names import GUIDE_FIGURES
from pytest_gptoss.report.charts.chart import Chart, Document, Row, Series
from pytest_gptoss.report.charts.limits import drawn_limit
from pytest_gptoss.report.tables.load import levels
from pytest_gptoss.report.tables.open_levels import is_open
from pytest_gptoss.report.wording import Wording, split_id

__all__ = ["load_charts"]

_AXES = {"ms": "ms", "tok/s": "tok_s", "req/s": "qps"}
"""The wording of an axis by its unit."""


def load_charts(document: Document, translate: Wording) -> list[Chart]:
    """The guide's four figures against concurrency, all devices together, and distributions.

    Of an open level the requests in flight over time.
    """
    measured = levels(document)
    if not measured:
        return []
    closed = [row for row in measured if not is_open(row)]
    charts = [
        chart
        for each in GUIDE_FIGURES
        for chart in _by_concurrency(
            document, closed, translate, name=each.name, key=str(each.key), axis=_AXES[each.unit]
        )
    ]
    for name, key in (("ttft_dist", "ttft_ms"), ("itl_dist", "itl_ms")):
        charts += _distribution(measured, name, key, translate)
    return [*charts, *(chart for row in measured for chart in _in_flight(row, translate))]


def _in_flight(row: Row, translate: Wording) -> Iterator[Chart]:
    """Requests of an open level over time: in flight, and those of them without a first token."""
    timeline = row.get("timeline") or {}
    series: list[Series] = []
    lines = (("in_flight", "chart.all_in_flight", row["device"]), ("waiting", "chart.waiting", "length"))
    for key, label, hue in lines:
        points = list(zip(timeline.get("s", ()), timeline.get(key, ()), strict=False))
        if points:
            x, y = zip(*points, strict=True)
            series.append(Series(translate(label), hue, "step", x, y, style=len(series)))
    if series:
        yield Chart(
            "in_flight",
            f"{translate('chart.in_flight')}: {_level_name(row)}",
            translate("axis.seconds"),
            translate("axis.requests"),
            tuple(series),
        )


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
    return {} if row is None else drawn_limit(row, translate, split_id(row["threshold_id"])[1])


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


def _level_name(row: Row) -> str:
    return f"{_measured_as(row)} {row['level']}"


def _measured_as(row: Row) -> str:
    """The device, with the trial's number from the second trial on."""
    return f"{row['device']} #{row['trial'] + 1}" if row["trial"] else str(row["device"])
