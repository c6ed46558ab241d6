"""Simulated histories: how soon change points are found, and how often where nothing changed.

python benchmarks/trend.py --output benchmarks/trend.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pytest_gptoss.judge.trend import REFERENCE, Past, trend
from pytest_gptoss.ledger.change_points import change_points

NOISE = 0.01
BEFORE = 60
"""Sound runs before a step."""
STEP = 0.03
NEAR = 3
"""Runs by which a step may be placed too early."""


def false_changes(histories: int = 1000, runs: int = 100) -> int:
    """How many sound histories show a change."""
    random = np.random.default_rng(1)
    return sum(bool(change_points(1 + NOISE * random.standard_normal(runs))) for _ in range(histories))


def steps_found(*, before: int = BEFORE, seed: int = 2, histories: int = 200, within: int = 5) -> int:
    """In how many histories a step is found at one of the ``within`` runs from its own on."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(histories):
        values = 1 + NOISE * random.standard_normal(before + within)
        values[before:] += STEP
        found += any(
            any(index >= before - NEAR for index in change_points(values[:end]))
            for end in range(before + 1, before + within + 1)
        )
    return found


def drifts_found(histories: int = 200, within: int = 60, drift: float = 0.001) -> int:
    """In how many histories a drift from the first run on is found within so many runs."""
    random = np.random.default_rng(3)
    found = 0
    for _ in range(histories):
        values = 1 + NOISE * random.standard_normal(within) + drift * np.arange(within)
        found += any(change_points(values[:end]) for end in range(within, 0, -5))
    return found


def _worse(values: np.ndarray) -> bool:
    """Whether the row of a trend without tolerance fails at the last of these runs."""
    past = [Past(float(each), accepted=True) for each in values[:-1]]
    return trend(float(values[-1]), past, "<=").value > 0


def trends_failing(
    histories: int, runs: int, *, step: float = 0.0, drift: float = 0.0, since: int = 0
) -> int:
    """In how many histories the row of a trend fails at one of the runs from ``since`` on."""
    random = np.random.default_rng(5)
    found = 0
    for _ in range(histories):
        values = 1 + NOISE * random.standard_normal(runs) + drift * np.arange(runs)
        values[since:] += step
        found += any(_worse(values[:end]) for end in range(max(since, REFERENCE) + 1, runs + 1))
    return found


def page() -> str:
    """The page, its figures measured now."""
    return f"""# Change points in simulated histories

<!-- Made by `python benchmarks/trend.py --output benchmarks/trend.md`. Do not edit this page. -->

The noise is {NOISE:.0%} from run to run, the seeds are fixed. A change is looked for after every run, as
`pytest-gptoss history` does; of sound histories, when all runs are there.

| history | found | wanted |
|---|---|---|
| 1,000 sound ones of 100 runs | {false_changes()} show a change | at most 5 |
| 200 with a step of 3% after {BEFORE} runs | {steps_found()} found within 5 runs | at least 190 |
| 200 with a step of 3% after 30 runs | {steps_found(before=30, seed=4)} found within 5 runs | |
| 200 with a drift of 0.1% a run | {drifts_found()} found within 60 runs | at least 190 |

The row of a trend (`trend.ID`, here without a tolerance) is judged at every run, against ten runs alone. It
is slower to see a small step than change points are, which use all runs.

| history | the row fails at one of the runs |
|---|---|
| 200 sound ones of 100 runs | {trends_failing(200, 100)} |
| 200 with a step of 3% after 60 runs, within 5 runs | {trends_failing(200, 65, step=STEP, since=60)} |
| 200 with a step of 5%, the same | {trends_failing(200, 65, step=0.05, since=60)} |
| 200 with a drift of 0.1% a run, within 60 runs | {trends_failing(200, 60, drift=0.001)} |
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.parse_args().output.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
