"""Rows over runs, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.ledger.history import Series
from pytest_gptoss.model.errors import MissingExtra, UsageError

__all__ = ["plot"]


def plot(histories: Sequence[Series], output: Path) -> None:
    """Draw each series below the other: dashed lines are change points, dotted ones other versions.

    Raises MissingExtra without matplotlib, UsageError for a file that cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name) from None
    figure = Figure(figsize=(10, 2.4 * len(histories)), layout="constrained")
    for place, series in enumerate(histories, start=1):
        axes = figure.add_subplot(len(histories), 1, place)
        axes.plot([each.value for each in series.points], marker=".", linewidth=0.8)
        for index in series.changes():
            axes.axvline(index - 0.5, linestyle="--", color="tab:red")
        for index in series.version_changes():
            axes.axvline(index - 0.5, linestyle=":", color="tab:gray")
        axes.set_title(series.name.replace("$", r"\$"), fontsize=9)
        axes.set_ylabel(series.unit.replace("$", r"\$"))
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--output {output}: {error}; name a file that ends in .png, .svg or .pdf"
        ) from error
