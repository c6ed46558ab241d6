"""Whether the server kept up with the arrivals of an open level."""

from __future__ import annotations

from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.level_trials import Trial, levels_of, nothing, of_level
from pytest_gptoss.judge.queue_growth import Growth, growth
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["stable"]


@of_level("stable", ("worst",), rests_on=nothing)
def stable(**trials: Trial) -> Estimate:
    """By how much the queue of an open level grew after its first third, as a share of what is allowed.

    Allowed are 5% of the arrivals or 3 times their square root, whichever is more; 0 of a queue that did not
    grow. Of several trials the worst counts.
    """
    found = max((_growth(level) for level in levels_of(trials)), key=_share)
    details: dict[str, Json] = {
        "arrivals": found.arrivals,
        "completions": found.completions,
        "excess": found.excess,
        "allowed": found.allowed,
    }
    if _share(found) > 1:
        details["finding"] = _why_overloaded(found)
    return Estimate(max(0.0, _share(found)), "times the allowed", found.arrivals, None, details)


def _growth(level: LoadLevel) -> Growth:
    if level.shape.arrivals is None:
        raise ConditionAbsent(
            say("a closed loop has no queue that could grow: its requests wait for each other")
        )
    found = growth(level)
    if found is None or not found.arrivals:
        raise InsufficientData(
            say("fewer than two requests were to be sent: raise --gptoss-num-requests or --gptoss-duration")
        )
    return found


def _share(found: Growth) -> float:
    return found.excess / found.allowed if found.arrivals else 0.0


def _why_overloaded(found: Growth) -> str:
    return say(
        "overloaded: the queue grew by {excess} requests, {allowed} are allowed: from {begin} s to {end} s "
        "of the level {arrivals} requests came and {completions} ended; ask for a lower rate",
        excess=found.excess,
        allowed=fixed(found.allowed, 1),
        begin=fixed(found.begin_s, 1),
        end=fixed(found.end_s, 1),
        arrivals=found.arrivals,
        completions=found.completions,
    )
