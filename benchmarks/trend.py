"""Simulated histories: how soon a change is seen, and how often where nothing changed.

By change points and by the row of a trend; with ``--otava`` by Apache Otava too.

python benchmarks/trend.py --otava VENV --output benchmarks/trend.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from otava_changes import BEFORE, NEAR, NOISE, STEP, section, simulated

from pytest_gptoss.judge.trend import REFERENCE, Past, trend
from pytest_gptoss.ledger.change_points import change_points


def false_changes(histories: int = 1000, runs: int = 100) -> int:
    """How many sound histories show a change."""
    return sum(bool(change_points(values)) for values in simulated(1, histories, runs))


def steps_found(*, before: int = BEFORE, seed: int = 2, histories: int = 200, within: int = 5) -> int:
    """In how many histories a step is found at one of the ``within`` runs from its own on."""
    made = simulated(seed, histories, before + within, step=STEP, since=before)
    return sum(
        any(
            any(index >= before - NEAR for index in change_points(values[:end]))
            for end in range(before + 1, before + within + 1)
        )
        for values in made
    )


def drifts_found(histories: int = 200, within: int = 60, drift: float = 0.001) -> int:
    """In how many histories a drift from the first run on is found within so many runs."""
    made = simulated(3, histories, within, drift=drift)
    return sum(any(change_points(values[:end]) for end in range(within, 0, -5)) for values in made)


def _worse(values: np.ndarray, reference: int) -> bool:
    """Whether the row of a trend without tolerance fails at the last of these runs."""
    past = [Past(float(each), accepted=True) for each in values[:-1]]
    return trend(float(values[-1]), past, "<=", reference).value > 0


def trends_failing(
    histories: int,
    runs: int,
    *,
    step: float = 0.0,
    drift: float = 0.0,
    since: int = 0,
    reference: int = REFERENCE,
    seed: int = 5,
) -> int:
    """In how many histories the row of a trend fails at one of the runs from ``since`` on."""
    made = simulated(seed, histories, runs, step=step, since=since, drift=drift)
    first = max(since, reference) + 1
    return sum(any(_worse(values[:end], reference) for end in range(first, runs + 1)) for values in made)


def page() -> str:
    """The page, its figures measured now."""
    return f"""# Change points in simulated histories

<!-- Made by `python benchmarks/trend.py --otava VENV --output benchmarks/trend.md`. Do not edit it. -->

The noise is {NOISE:.0%} from run to run, the seeds are fixed. A change is looked for after every run, as
`pytest-gptoss history` does; of sound histories, when all runs are there.

| history | found | wanted |
|---|---|---|
| 1,000 sound ones of 100 runs | {false_changes()} show a change | at most 5 |
| 200 with a step of 3% after {BEFORE} runs | {steps_found()} found within 5 runs | at least 190 |
| 200 with a step of 3% after 30 runs | {steps_found(before=30, seed=4)} found within 5 runs | |
| 200 with a drift of 0.1% a run | {drifts_found()} found within 60 runs | at least 190 |

The row of a trend (`trend.ID`, here without a tolerance) is judged at every run, against ten accepted runs.

| history | the row fails at one of the runs | wanted |
|---|---|---|
| 1,000 sound ones of 100 runs | {trends_failing(1000, 100, seed=9001)} | at most 5 |
| 1,000 others, against 5 runs | {trends_failing(1000, 100, reference=5, seed=9007)} | at most 5 |
| 1,000 others, against 30 runs | {trends_failing(1000, 100, reference=30, seed=9008)} | at most 5 |
| 200 with a step of 3% after {BEFORE} runs, within 5 runs | {_steps(BEFORE)} | at least 190 |
| 200 with a step of 3% after 30 runs, the same | {_steps(30)} | |
| 200 with a step of 5% after {BEFORE} runs, the same | {_steps(BEFORE, step=0.05)} | |
| 200 with a drift of 0.1% a run, within 60 runs | {trends_failing(200, 60, drift=0.001)} | at least 190 |
"""


def _steps(before: int, *, step: float = STEP) -> int:
    return trends_failing(200, before + 5, step=step, since=before)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--otava", type=Path, metavar="VENV", help="virtual environment that has apache-otava"
    )
    parser.add_argument("--output", type=Path, required=True)
    known = parser.parse_args()
    told = page() + (section(known.otava) if known.otava else "")
    known.output.write_text(told, "utf-8")


if __name__ == "__main__":
    main()
