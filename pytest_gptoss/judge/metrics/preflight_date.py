"""Whether two servers tell their models the same date."""

from __future__ import annotations

import numpy as np

from pytest_gptoss.judge.conditions import GPU_CHAT
from pytest_gptoss.judge.facts import facts_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import both_facts
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["harmony_date"]


@metric(
    "preflight_date",
    needs=both_facts,
    condition=GPU_CHAT,
    depends_on=("preflight.baseline",),
    statistics=("difference",),
)
def harmony_date(*, npu: Measurement[ServerFacts], gpu: Measurement[ServerFacts]) -> Estimate:
    """Days between the dates in the two servers' chat prompts.

    Raises ConditionAbsent when one shows neither its prompt nor its text.
    """
    dates = {}
    for measurement in (npu, gpu):
        facts = facts_of(measurement)
        told = facts.harmony_date
        if told is None:
            why = facts.date_trouble or "return_token_ids and /detokenize would"
            raise ConditionAbsent(
                say(
                    "{device} does not show the date in its prompt ({why}): inputs.identical "
                    "compares the prompts themselves",
                    device=measurement.device,
                    why=why,
                )
            )
        dates[measurement.device] = told
    ours, theirs = dates.values()
    apart = abs(_day(ours, npu.device) - _day(theirs, gpu.device))
    details: dict[str, Json] = {"npu": ours, "gpu": theirs}
    if apart:
        details["finding"] = say(
            "{device} tells its model that today is {ours}, {other} says {theirs}: start "
            "both with the same VLLM_SYSTEM_START_DATE=YYYY-MM-DD, or send the baseline's "
            "prompts with --gptoss-inputs token-ids",
            device=npu.device,
            ours=ours,
            other=gpu.device,
            theirs=theirs,
        )
    return Estimate(float(apart), "days", 1, details=details)


def _day(text: str, device: str) -> int:
    """An ISO date as a number of days."""
    try:
        return int(np.datetime64(text, "D").astype(int))
    except ValueError:
        raise InsufficientData(
            say(
                "{device}'s prompt holds the date {text}: correct VLLM_SYSTEM_START_DATE",
                device=device,
                text=repr(text),
            )
        ) from None
