"""The longest context that the server takes."""

from __future__ import annotations

from pytest_gptoss.judge.facts import facts_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["context"]


@metric(
    "context",
    needs=npu_facts,
    statistics=("length",),
)
def context(*, npu: Measurement[ServerFacts]) -> Estimate:
    """The longest context served, in tokens. Raises InsufficientData when the server does not tell it."""
    facts = facts_of(npu)
    if facts.max_model_len is None:
        raise InsufficientData(
            facts.problem or say("{device}: /v1/models tells no max_model_len", device=npu.device)
        )
    return Estimate(float(facts.max_model_len), "tokens", 1)
