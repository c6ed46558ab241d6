"""The two smoke questions of the acceptance guide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Greedy, Scenario

__all__ = ["names_paris", "says_hi"]


def _smoke_prompts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Greedy(roles.subject, "smoke")}


@metric(
    "smoke_hi",
    needs=_smoke_prompts,
    statistics=("count",),
)
def says_hi(*, npu: Measurement[Generation]) -> Estimate:
    """Tokens of the answer to the acceptance guide's "say hi"; 16 of them may all be analysis."""
    answer = _smoke(npu, "say-hi")
    details = {"content": answer.content, "reasoning": answer.reasoning}
    return Estimate(float(answer.completion_tokens), "tokens", 1, details=details)


@metric(
    "smoke_paris",
    needs=_smoke_prompts,
    statistics=("count",),
)
def names_paris(*, npu: Measurement[Generation]) -> Estimate:
    """1 when the guide's question for the capital of France is answered with Paris, in reasoning or content.

    It gates nothing: badly damaged weights have been seen to know Paris.
    """
    answer = _smoke(npu, "capital-france")
    read = answer_text(answer)
    named = "paris" in read.text.lower() or "巴黎" in read.text
    details: dict[str, Json] = {"content": answer.content, "reasoning": answer.reasoning}
    if not named:
        said = read.final or read.analysis
        details["finding"] = say(
            "asked for the capital of France, {device} says {said}", device=npu.device, said=repr(said[:80])
        )
    return Estimate(float(named), "answers", 1, details=details)


def _smoke(measurement: Measurement[Generation], prompt_id: str) -> Generation:
    """One smoke question by itself: what became of the other does not matter."""
    items = tuple(item for item in measurement.items if item.prompt_id == prompt_id)
    whole = () if items else ("*",)  # what ended the measuring after this answer is no matter either
    failures = tuple(each for each in measurement.failures if each.item_id in (prompt_id, *whole))
    complete = measurement.complete or bool(items)
    return sound_items(replace(measurement, items=items, failures=failures, complete=complete), "prompts")[0]
