"""Whether less reasoning effort gives shorter answers."""

from __future__ import annotations

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Feature

__all__ = ["effort"]


@metric(
    "effort",
    needs=lambda roles: {
        "low": Feature(roles.subject, "effort-low"),
        "high": Feature(roles.subject, "effort-high"),
    },
)
def effort(*, low: Measurement[Generation], high: Measurement[Generation]) -> Estimate:
    """Mean length of answers at low effort over that at high effort, in tokens. Never judged."""
    short, long = (
        sum(each.completion_tokens for each in sound_items(side, "questions")) for side in (low, high)
    )
    n = len(low.items)
    details: dict[str, Json] = {"low_tokens": short / n, "high_tokens": long / n}
    if short >= long:
        details["finding"] = say(
            "{device}: reasoning effort low is not shorter than high ({short:.0f} and {long:.0f} tokens)",
            device=low.device,
            short=short / n,
            long=long / n,
        )
    return Estimate(short / long if long else 1.0, "ratio", n, details=details)
