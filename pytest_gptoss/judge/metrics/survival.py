"""Whether the server outlives requests that it must refuse."""

from __future__ import annotations

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import feature
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import BadRequest, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["survival"]


@metric(
    "survival",
    needs=feature("bad-requests"),
    statistics=("count",),
)
def survival(*, npu: Measurement[BadRequest]) -> Estimate:
    """Count of bad requests after which the server did not answer a good one.

    Raises InsufficientData when it did not answer before the first of them.
    """
    first, *others = sound_items(npu, "requests")
    if not first.alive:
        raise InsufficientData(
            say(
                "{device} does not answer a good request: {trouble}", device=npu.device, trouble=first.trouble
            )
        )
    deadly = [each for each in others if not each.alive]
    details: dict[str, Json] = {
        "requests": [{"name": each.name, "status": each.status, "alive": each.alive} for each in others]
    }
    blamed = [each.name for each in others if each.status is None or each.status >= 500]
    if blamed and not deadly:
        details["note"] = say(
            "{device} survives, but does not refuse in words: {blamed} (no answer, or a 5xx)",
            device=npu.device,
            blamed=", ".join(blamed),
        )
    if deadly:
        details["finding"] = say(
            "{device} answers no good request after a bad one, {name}: {trouble}",
            device=npu.device,
            name=deadly[0].name,
            trouble=deadly[0].trouble,
        )
    return Estimate(float(len(deadly)), "requests", len(others), details=details)
