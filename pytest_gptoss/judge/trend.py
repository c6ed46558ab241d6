"""Rows of trends: whether a row became worse than the runs that were accepted; pure.

The runs compared with are the first ``REFERENCE`` accepted ones after the last change that a person
confirmed, and stay so: a slow drift cannot take them along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pytest_gptoss.model.errors import ConditionAbsent
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Comparison, Estimate

__all__ = ["TREND", "Past", "of_replay", "trend", "trended", "without_ledger"]

TREND = "trend."
"""How the ids and metrics of such rows begin; the row they watch follows."""
REFERENCE = 10
RECENT = 5
"""Most runs whose mean is held against the reference, this one included."""
SURE = 5.0
"""Standard errors beyond which a difference is no chance.

So many, because the noise is told from few runs and every run is tested (``benchmarks/trend.md``).
"""


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


def trend(value: float, past: Sequence[Past], comparison: Comparison) -> Estimate:
    """How much worse a row is than the reference, as a share of it; 0 where that may be chance.

    ``past``: earlier runs, the oldest first. Raises ConditionAbsent where too few were accepted.
    """
    reference, later = _reference(past)
    middle = fmean(reference)
    if middle == 0:
        raise ConditionAbsent(say("the accepted runs' figure is 0: a share of it means nothing"))
    sign = 1 if comparison in ("<=", "<") else -1
    recent = [*later, value]
    noise = _noise([*reference, *recent])
    worse = [sign * (fmean(recent[-count:]) - middle) for count in range(1, min(RECENT, len(recent)) + 1)]
    sure = [
        each
        for count, each in enumerate(worse, start=1)
        if each > SURE * noise * math.sqrt(1 / count + 1 / REFERENCE)
    ]
    found = max(sure, default=0.0) / abs(middle)
    details = {
        "reference": middle,
        "finding": say(
            "worse by {worse:.1%} than the mean of {n} accepted runs; when that is meant: pytest-gptoss "
            "ledger confirm RUN",
            worse=found,
            n=REFERENCE,
        ),
    }
    return Estimate(found, "share", len(reference) + len(recent), details=details)


def _reference(past: Sequence[Past]) -> tuple[list[float], list[float]]:
    """Figures of the reference, and of all runs after it."""
    since = max((index for index, each in enumerate(past) if each.confirmed), default=0)
    accepted = [index for index, each in enumerate(past) if index >= since and each.accepted]
    if len(accepted) < REFERENCE:
        raise ConditionAbsent(
            say(
                "no trend yet: the ledger has {n} accepted runs of this device, profile and workload since "
                "the last confirmed change, and {needed} are needed",
                n=len(accepted),
                needed=REFERENCE,
            )
        )
    kept = accepted[:REFERENCE]
    return [past[index].value for index in kept], [each.value for each in past[kept[-1] + 1 :]]


def _noise(values: Sequence[float]) -> float:
    """Standard deviation from run to run, told from neighbours, so that a step or a drift is no noise."""
    return math.sqrt(fmean((after - before) ** 2 for before, after in pairwise(values)) / 2)
