"""Share of a load level's requests that keep the service level that users are promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_gptoss.judge.accounting import why_first_is_late, why_unaccounted
from pytest_gptoss.judge.arrivals import why_buffered
from pytest_gptoss.judge.effective_number import effective_number
from pytest_gptoss.judge.goodput import kept
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.level_trials import Trial, levels_of, of_level, uncached_prompts
from pytest_gptoss.judge.load import why_incomplete
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["goodput"]

_CHECKS = (why_unaccounted, why_buffered, why_first_is_late)


@of_level("goodput", ("share",), rests_on=uncached_prompts)
def goodput(**trials: Trial) -> Estimate:
    """Share of all requests asked for whose TTFT and TPOT are within the level's service level (SLO).

    One that failed, came with other counts or was never sent does not keep it. Wilson's interval; of an open
    level over the effective number of requests. Trials are counted together.
    """
    levels = levels_of(trials)
    for level in levels:
        _refuse(level)
    found = [kept(level) for level in levels]
    n, good = sum(map(len, found)), sum(map(sum, found))
    if not n:
        raise InsufficientData(say("the level has no requests: measure it again"))
    effective = sum(map(_effective, levels, found))
    interval = wilson(good / n * effective, effective)
    return Estimate(good / n, "share", n, interval, {"within": good, "effective": effective})


def _effective(level: LoadLevel, is_kept: Sequence[bool]) -> float:
    return float(len(is_kept)) if level.shape.arrivals is None else effective_number(is_kept)


def _refuse(level: LoadLevel) -> None:
    """Raise ConditionAbsent without a service level, InsufficientData where stamps tell no latency."""
    if level.shape.slo is None or not level.shape.slo.is_set:
        raise ConditionAbsent(
            say("no service level is set: add --gptoss-slo-ttft MS, --gptoss-slo-tpot MS, or both")
        )
    whole = tuple(each for each in level.requests if why_incomplete(each, level.shape) is None)
    reasons = (check(replace(level, requests=whole)) for check in _CHECKS if whole)
    why = next((reason for reason in reasons if reason is not None), None)
    if why is not None:
        raise InsufficientData(why)
