"""Whether the server computes in BF16, the type that the acceptance guide asks for."""

from __future__ import annotations

from pytest_gptoss.judge.facts import Stated, known_fact
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["bf16"]

_BF16 = ("bfloat16", "bf16")


@metric(
    "bf16",
    needs=npu_facts,
    statistics=("count",),
    context=("stated",),
)
def bf16(*, npu: Measurement[ServerFacts], stated: Stated) -> Estimate:
    """1 when the server computes in BF16. Raises InsufficientData when nobody tells its dtype."""
    dtype = known_fact(npu, stated, "dtype", example="bfloat16")
    right = dtype.value.lower().removeprefix("torch.") in _BF16
    details: dict[str, Json] = {"dtype": dtype.value, "source": dtype.source}
    if not right:
        details["finding"] = say(
            "{device} computes in {value} ({source}): serve with --dtype bfloat16",
            device=npu.device,
            value=dtype.value,
            source=dtype.source,
        )
    return Estimate(float(right), "servers", 1, details=details)
