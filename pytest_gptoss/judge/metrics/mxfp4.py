"""Whether the server uses MXFP4 weights, which Ascend does not support."""

from __future__ import annotations

from pytest_gptoss.judge.facts import Stated, known_fact
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["mxfp4"]


@metric(
    "mxfp4",
    needs=npu_facts,
    statistics=("count",),
    context=("stated",),
)
def mxfp4(*, npu: Measurement[ServerFacts], stated: Stated) -> Estimate:
    """1 when the server uses MXFP4 weights, which Ascend does not support.

    Raises InsufficientData when nobody tells its quantization.
    """
    fact = known_fact(npu, stated, "quantization", example="none")
    used = "mxfp4" in fact.value.lower()
    details: dict[str, Json] = {"quantization": fact.value, "source": fact.source}
    if used:
        details["finding"] = say(
            "{device} uses {value} weights ({source}): serve a BF16 checkpoint; --dtype "
            "bfloat16 alone does not take MXFP4 out of one",
            device=npu.device,
            value=fact.value,
            source=fact.source,
        )
    return Estimate(float(used), "servers", 1, details=details)
