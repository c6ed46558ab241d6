"""Whether the served context holds what the selected rows need."""

from __future__ import annotations

from pytest_gptoss.judge.facts import usable_facts
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["context"]


@metric(
    "preflight_context",
    needs=npu_facts,
    statistics=("shortfall",),
    context=("context_needed",),
)
def context(*, npu: Measurement[ServerFacts], context_needed: int) -> Estimate:
    """Tokens by which the served context falls short of what the selected rows need, 0 for none.

    It gates no other row: what does not fit is INVALID in its own, and shorter work is measured. Raises
    InsufficientData when the server does not tell its ``max_model_len``.
    """
    served = _served_context(npu)
    short = max(0, context_needed - served)
    details: dict[str, Json] = {"max_model_len": served, "needed": context_needed}
    if short:
        details["finding"] = say(
            "{device} serves a context of {served} tokens and the selected rows need "
            "{context_needed}: serve with --max-model-len {context_needed} or more; rows "
            "that fit are judged nevertheless",
            device=npu.device,
            served=served,
            context_needed=context_needed,
        )
    return Estimate(float(short), "tokens", 1, details=details)


def _served_context(measurement: Measurement[ServerFacts]) -> int:
    served = usable_facts(measurement).max_model_len
    if served is None:
        raise InsufficientData(
            say(
                "{device}: /v1/models tells no max_model_len; is it a vLLM server, or does a "
                "proxy answer for it?",
                device=measurement.device,
            )
        )
    return served
