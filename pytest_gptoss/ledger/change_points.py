"""Where the level of a series of figures changed: the best cut into parts of constant level, by ruptures.

A cut must explain more than ``PENALTY`` times the noise's variance, else it is none. The noise is told from
neighbouring runs, so that neither a step nor a drift counts as noise. ``benchmarks/trend.py`` measures what
that finds and how often it finds what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.model.errors import LedgerError

__all__ = ["FEWEST", "PENALTY", "change_points"]

PENALTY = 16.0
"""Least gain of a cut, in variances of the noise."""
FEWEST = 12
"""Runs below which the noise is not known well enough."""
_SHORTEST = 2
"""Runs of the shortest part: one run alone is an outlier, not a level."""


def change_points(values: Sequence[float]) -> list[int]:
    """Indices of the runs with which a new level begins; none in fewer than ``FEWEST`` values.

    Raises LedgerError where ruptures is not installed.
    """
    if len(values) < FEWEST:
        return []
    try:
        import numpy as np
        import ruptures
    except ModuleNotFoundError as error:
        raise LedgerError(f"{error.name} is not installed: pip install 'pytest-gptoss[trend]'") from None
    series = np.asarray(values, dtype=float)
    variance = float(np.mean(np.diff(series) ** 2) / 2)
    if variance <= 0.0:  # every run gave the same figure
        return []
    scaled = (series - series.mean()) / variance**0.5
    search = ruptures.KernelCPD(kernel="linear", min_size=_SHORTEST).fit(scaled.reshape(-1, 1))
    return [int(index) for index in search.predict(pen=PENALTY)[:-1]]
