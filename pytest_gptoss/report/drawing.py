"""Charts drawn as SVG for a page: with matplotlib, in the page's colours and fonts.

Matplotlib paints with stand-in colours that are then replaced by the page's style variables, so that one
drawing serves light, dark and print.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pytest_gptoss.model.errors import MissingExtra
from pytest_gptoss.report.charts.chart import Chart, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HUES", "svg"]

_WIDTH, _HEIGHT = 4.6, 2.8
"""Inches of 72 points: about the width of a phone, so that a plot is never scaled down."""
_BELOW, _LEGEND_LINE, _LEGEND_COLUMNS = 0.7, 0.17, 4
"""Inches kept below the plot for its axis and one line of legend, and for each line more."""

HUES = (
    "ink", "line", "npu0", "npu1", "npu2", "npu3", "gpu", "cpu", "limit", "real", "near", "length", "unknown",
    "level0", "level1", "level2", "level3", "level4", "level5",
)  # fmt: skip
"""Style variables of the page, each painted with a colour of its own: ``--hue-npu0`` and so on."""

_STAND_IN = {hue: f"#{0xAB0000 + index:06x}" for index, hue in enumerate(HUES)}
_MARKERS = "osD^vPX"
_DASHES = ("-", "--", "-.", ":")


def svg(chart: Chart, hues: Mapping[str, str], *, number: int, alt: str) -> str:
    """A chart as an ``<svg>`` element. ``hues``: what a series' hue is painted with, out of HUES.

    ``number`` tells its ids from those of the page's other drawings: names come from servers and files.

    Raises MissingExtra when matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(error.name) from None
    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": str(number), "font.size": 9, "text.parse_math": False,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The page's fonts show what matplotlib's own font has no glyphs for.
        warnings.simplefilter("ignore")
        lines = math.ceil((len(chart.series) + (chart.limit is not None)) / _LEGEND_COLUMNS)
        more = max(0, lines - 1) * _LEGEND_LINE
        figure = Figure(figsize=(_WIDTH, _HEIGHT + more))
        figure.subplots_adjust(left=0.15, right=0.97, top=0.96, bottom=(_BELOW + more) / (_HEIGHT + more))
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        _paint(axes, chart, hues)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return _in_page(file.getvalue(), f"drawing{number}", alt)


def _paint(axes: Axes, chart: Chart, hues: Mapping[str, str]) -> None:
    for series in chart.series:
        _add(axes, series, _STAND_IN[hues.get(series.hue, "npu0")])
    if chart.limit is not None:
        axes.axhline(
            chart.limit, color=_STAND_IN["limit"], linestyle="--", linewidth=1.2, label=chart.limit_label
        )
    _scale(axes, chart)
    ink, line = _STAND_IN["ink"], _STAND_IN["line"]
    axes.set_xlabel(chart.x_label, color=ink)
    axes.set_ylabel(chart.y_label, color=ink)
    axes.tick_params(colors=ink, which="both", length=2)
    axes.grid(visible=True, color=line, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(line)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(chart.series) > 1 or chart.limit is not None:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=_LEGEND_COLUMNS, frameon=False,
            labelcolor=ink, fontsize=8, handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip


def _add(axes: Axes, series: Series, colour: str) -> None:
    marker, dashes = _MARKERS[series.style % len(_MARKERS)], _DASHES[series.style % len(_DASHES)]
    if series.kind == "bar":
        axes.bar(series.x, series.y, color=colour, width=0.7, label=series.label)
    elif series.kind == "points":
        axes.scatter(series.x, series.y, color=colour, s=22, marker=marker, label=series.label, zorder=3)
    elif series.kind == "step":
        axes.step(
            series.x, series.y, where="post", color=colour, linewidth=1.5, label=series.label,
            linestyle=dashes,
        )  # fmt: skip
    else:
        whiskers: Any = None
        if series.high:
            above = [max(0.0, high - y) for high, y in zip(series.high, series.y, strict=True)]
            whiskers = [[0.0] * len(above), above]
        axes.errorbar(
            series.x, series.y, yerr=whiskers, color=colour, marker=marker, markersize=4, linewidth=1.5,
            elinewidth=1, capsize=2, label=series.label, linestyle=dashes,
        )  # fmt: skip


def _scale(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import LogLocator

    if chart.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    if chart.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    elif all(y >= 0 for each in chart.series for y in each.y):
        axes.set_ylim(bottom=0)
    if chart.ticks:
        axes.set_xticks([at for at, _ in chart.ticks], [name for _, name in chart.ticks])
        axes.minorticks_off()


_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_OPENING = re.compile(r"<svg[^>]*>", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_FONT = re.compile(r"font-size: ([0-9.]+)px; font-family: [^;\"]*|font: ([0-9.]+)px [^;\"]*")
_VIEW = re.compile(r'viewBox="([^"]*)"')


def _in_page(text: str, name: str, alt: str) -> str:
    """Matplotlib's SVG file as an element of a page: no ids that clash, named, in the page's colours."""
    text = _METADATA.sub("", _PROLOGUE.sub("", text))
    view = _VIEW.search(text)
    box = view.group(1) if view else "0 0 331 209"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" role="img" aria-label="{escape(alt)}">'
    )
    text = _OPENING.sub(lambda _: opening, text, count=1)
    for old, new in (('id="', f'id="{name}-'), ('href="#', f'href="#{name}-'), ("url(#", f"url(#{name}-")):
        text = text.replace(old, new)
    text = _FONT.sub(lambda found: f"font-size: {found[1] or found[2]}px", text)
    for hue, colour in _STAND_IN.items():
        text = text.replace(colour, f"var(--hue-{hue})")
    return text.strip()
