"""Rows of trends: whether a row became worse than the runs that were accepted; pure.

The runs compared with are the first ones accepted after the last change that a person confirmed, and stay
so: a slow drift cannot take them along. Ten of them say little, so a difference that is large already is
also tested against all runs before it: a step is seen sooner (``benchmarks/trend.md``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

from pytest_gptoss.model.errors import ConditionAbsent
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Comparison, Estimate

__all__ = ["REFERENCE", "TREND", "Past", "of_replay", "trend", "trended", "without_ledger"]

TREND = "trend."
"""How the ids and metrics of such rows begin; the row they watch follows."""
REFERENCE = 10
"""Accepted runs compared with, where the thresholds file says nothing else."""
RECENT = 5
"""Most runs whose mean is held against the reference, this one included."""
LARGE = 3.0
"""Standard errors by which the reference must be exceeded anyhow."""
CHANCE = 1e-5
"""One-sided probability below which a difference is no chance: every run is tested ten times."""


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier run's figure; ``confirmed``: a person confirmed what changed with it."""

    value: float
    accepted: bool
    confirmed: bool = False


def trended(threshold_id: str) -> str | None:
    """The row whose trend a row judges; None for all other rows."""
    return threshold_id.removeprefix(TREND) if threshold_id.startswith(TREND) else None


def without_ledger() -> ConditionAbsent:
    """Why a run without a ledger has no trend."""
    return ConditionAbsent(say("no ledger to compare with: add --gptoss-ledger FILE|URL"))


def of_replay() -> ConditionAbsent:
    """Why a replay has no trend."""
    return ConditionAbsent(say("a replay has no place among the runs: trends are judged when a run is made"))


def trend(value: float, past: Sequence[Past], comparison: Comparison, runs: int = REFERENCE) -> Estimate:
    """How much worse a row is than the reference, as a share of it; 0 where that may be chance.

    ``past``: earlier runs, the oldest first. ``runs``: how many accepted ones are the reference, at least 2.
    Raises ConditionAbsent where too few were accepted.
    """
    reference, later = _reference(past, runs)
    middle = fmean(reference)
    if middle == 0:
        raise ConditionAbsent(say("the accepted runs' figure is 0: a share of it means nothing"))
    sign = 1 if comparison in ("<=", "<") else -1
    series = [sign * each for each in (*reference, *later, value)]
    found = max(_excesses(series, runs), default=0.0) / abs(middle)
    details = {
        "reference": middle,
        "finding": say(
            "worse by {worse:.1%} than the mean of {n} accepted runs; when that is meant: pytest-gptoss "
            "ledger confirm RUN",
            worse=found,
            n=runs,
        ),
    }
    return Estimate(found, "share", len(series), details=details)


def _excesses(series: Sequence[float], runs: int) -> Iterator[float]:
    """By how much the last run, two runs and so on exceed the first ``runs``, where that is no chance."""
    reference, noise = fmean(series[:runs]), _noise(series)
    for count in range(1, min(RECENT, len(series) - runs) + 1):
        before, recent = series[:-count], fmean(series[-count:])
        excess = recent - reference
        error = noise * math.sqrt(1 / count + 1 / runs)
        if excess <= LARGE * error:
            continue
        level = excess - (fmean(before) - reference)  # above all runs before
        level_error = stdev(before) * math.sqrt(1 / count + 1 / len(before))
        if _no_chance(excess, error, _freedom(len(series))) or _no_chance(
            level, level_error, len(before) - 1
        ):
            yield excess


def _no_chance(difference: float, error: float, freedom: int) -> bool:
    """Whether chance does not explain a difference of this standard error."""
    if error == 0:  # all those runs gave the same figure
        return difference > 0
    # Imported here: every pytest run imports this module, and numpy is heavy.
    from pytest_gptoss.judge.intervals import student_outside

    return difference > 0 and student_outside(difference / error, freedom) < 2 * CHANCE


def _reference(past: Sequence[Past], runs: int) -> tuple[list[float], list[float]]:
    """Figures of the reference, and of all runs after it."""
    since = max((index for index, each in enumerate(past) if each.confirmed), default=0)
    accepted = [index for index, each in enumerate(past) if index >= since and each.accepted]
    if len(accepted) < runs:
        raise ConditionAbsent(
            say(
                "no trend yet: the ledger has {n} accepted runs of this device, profile and workload since "
                "the last confirmed change, and {needed} are needed",
                n=len(accepted),
                needed=runs,
            )
        )
    kept = accepted[:runs]
    return [past[index].value for index in kept], [each.value for each in past[kept[-1] + 1 :]]


def _noise(values: Sequence[float]) -> float:
    """Standard deviation from run to run, told from neighbours, so that a step or a drift is no noise."""
    return math.sqrt(fmean((after - before) ** 2 for before, after in pairwise(values)) / 2)


def _freedom(runs: int) -> int:
    """Degrees of freedom of ``_noise``: differences of neighbours say two thirds of what the runs do.

    J. von Neumann et al., "The mean square successive difference", Ann. Math. Statist. 12 (1941) 153-162.
    """
    pairs = runs - 1
    return max(1, 2 * pairs * pairs // (3 * pairs - 1))
