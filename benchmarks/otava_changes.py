"""Our change points beside Apache Otava's, on the same simulated histories.

Otava has a virtual environment of its own: ``python -m venv VENV && VENV/bin/pip install apache-otava``.
``trend.py --otava VENV`` writes the table, ``nox -s otava`` does both and runs the test.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pytest_gptoss.ledger.change_points import change_points

__all__ = ["BEFORE", "NEAR", "NOISE", "STEP", "ours", "section", "simulated", "theirs"]

NOISE = 0.01
STEP = 0.03
BEFORE = 60
"""Sound runs before a step."""
NEAR = 3
"""Runs by which a step may be placed wrongly."""

Series: TypeAlias = Sequence[float]
Finder: TypeAlias = Callable[[Sequence[Series]], list[list[int]]]
"""Of each series the indices with which a new level begins."""

_SCRIPT = """
import json, sys
from importlib.metadata import version
from otava.analysis import compute_change_points
found = [compute_change_points(series)[0] for series in json.load(sys.stdin)]
indices = [[int(each.index) for each in points] for points in found]
json.dump({"version": version("apache-otava"), "found": indices}, sys.stdout)
"""


def simulated(
    seed: int, histories: int, runs: int, *, step: float = 0.0, since: int = 0, drift: float = 0.0
) -> list[np.ndarray]:
    """Histories of so many runs; from run ``since`` on they are higher by ``step``."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(histories):
        values = 1 + NOISE * random.standard_normal(runs) + drift * np.arange(runs)
        values[since:] += step
        made.append(values)
    return made


def ours(many: Sequence[Series]) -> list[list[int]]:
    """Change points as ``pytest-gptoss history`` finds them."""
    return [change_points(series) for series in many]


def theirs(environment: Path, many: Sequence[Series]) -> tuple[str, list[list[int]]]:
    """Otava's version, and its change points with its own defaults.

    Raises CalledProcessError where ``environment`` does not have it.
    """
    done = subprocess.run(
        [environment / "bin" / "python", "-c", _SCRIPT],
        input=json.dumps([list(map(float, series)) for series in many]),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    return told["version"], told["found"]


def _counts(find: Finder) -> Mapping[str, int]:
    """How many histories show what they should, or should not, by kind."""
    sound = simulated(11, 100, 100)
    stepped = simulated(12, 50, 100, step=STEP, since=BEFORE)
    seen = [values[:end] for values in stepped for end in range(BEFORE + 1, BEFORE + 6)]
    drifting = simulated(13, 50, 60, drift=0.001)
    found = find([*sound, *stepped, *seen, *drifting])
    of_sound, of_steps, of_seen = found[:100], found[100:150], found[150:400]
    early = [of_seen[start : start + 5] for start in range(0, len(of_seen), 5)]
    return {
        "100 sound ones of 100 runs, which show a change": sum(map(bool, of_sound)),
        f"50 with a step of 3% after {BEFORE} of 100 runs, found within {NEAR} runs of it": sum(
            any(abs(each - BEFORE) <= NEAR for each in points) for points in of_steps
        ),
        "the same 50, found at one of the first 5 runs after the step": sum(
            any(each >= BEFORE - NEAR for points in looks for each in points) for looks in early
        ),
        "the same 50, a change more than 3 runs off the step": sum(
            any(abs(each - BEFORE) > NEAR for each in points) for points in of_steps
        ),
        "50 with a drift of 0.1% a run over 60 runs, which show a change": sum(map(bool, found[400:])),
    }


def section(environment: Path) -> str:
    """The table as Markdown."""
    version = ""

    def otava(many: Sequence[Series]) -> list[list[int]]:
        nonlocal version
        version, found = theirs(environment, many)
        return found

    own, other = _counts(ours), _counts(otava)
    rows = "".join(f"| {name} | {own[name]} | {other[name]} |\n" for name in own)
    return f"""
## Beside Apache Otava {version}

The same histories, with Otava's defaults: windows of 50 runs, p < 0.001.

| histories | ours | Otava's |
|---|---|---|
{rows}"""
