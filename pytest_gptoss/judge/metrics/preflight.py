"""Before anything is compared: a server answers, and it is the right one."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.facts import facts_of, usable_facts
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.judge.vocabulary import unlike
from pytest_gptoss.model.errors import ConditionAbsent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Preflight, Scenario

__all__ = ["baseline", "model", "ready", "tokenizer"]


def _facts_of_baseline(roles: Roles) -> Mapping[str, Scenario]:
    others = {"gpu": gpu_of(roles), "cpu": roles.cpu}
    return {role: Preflight(name) for role, name in others.items() if name is not None}


@metric(
    "preflight_ready",
    needs=npu_facts,
    statistics=("count",),
)
def ready(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of servers that answer: 1. Raises InsufficientData with the reason when none does."""
    facts = facts_of(npu)
    details: dict[str, Json] = {"waited_s": facts.waited_s, "addresses": list(facts.addresses)}
    return Estimate(1.0, "servers", 1, details=details)


@metric(
    "preflight_model",
    needs=npu_facts,
    statistics=("count",),
)
def model(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of models that can be asked: 1. Details: ``listed`` and ``model``.

    Raises InsufficientData when the one that is wanted is not served, or cannot be told from others.
    """
    facts = usable_facts(npu)
    return Estimate(1.0, "models", 1, details={"listed": list(facts.listed), "model": facts.model})


@metric(
    "preflight_tokenizer",
    needs=npu_facts,
    statistics=("count",),
)
def tokenizer(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of tokens of a fixed text that do not come out as in GPT-OSS's vocabulary: 0.

    Told by ``/tokenize``, else by the chat prompt. Raises ConditionAbsent where a server tells neither.
    """
    found = unlike(usable_facts(npu))
    if found is None:
        raise ConditionAbsent(
            say(
                "{device} tells no token ids: /tokenize does not answer, and chat answers lack "
                "prompt_token_ids: its tokenizer is not checked",
                device=npu.device,
            )
        )
    finding = _other_vocabulary(npu)
    details: dict[str, Json] = {} if finding is None else {"finding": finding}
    return Estimate(float(found.missing), "tokens", found.tokens, details=details)


def _other_vocabulary(measurement: Measurement[ServerFacts]) -> str | None:
    """What to say of a server that has another tokenizer; None when it has GPT-OSS's, or tells nothing."""
    facts = facts_of(measurement)
    found = unlike(facts)
    if found is None or not found.missing:
        return None
    role = {"gpu": "gpu", "cpu": "cpu"}.get(measurement.device, "npu")
    option = "--gptoss-cpu-model-name" if role == "cpu" else f"--gptoss-{role}-model"
    return say(
        "{device} serves {model}, which is not GPT-OSS or has another tokenizer: it "
        "tells {text}: correct --{role}-url or {option}, or serve the checkpoint's own "
        "tokenizer",
        device=measurement.device,
        model=facts.model,
        text=found.text,
        role=role,
        option=option,
    )


@metric(
    "preflight_baseline",
    needs=_facts_of_baseline,
    condition=GPU,
    statistics=("count",),
)
def baseline(*, gpu: Measurement[ServerFacts], cpu: Measurement[ServerFacts] | None = None) -> Estimate:
    """As ``ready`` and ``model``, of the baseline: 0 when it, or the reference, has another tokenizer."""
    facts = usable_facts(gpu)
    details: dict[str, Json] = {"waited_s": facts.waited_s, "model": facts.model}
    answering = [gpu, *([cpu] if cpu is not None and cpu.items else [])]
    others = [finding for finding in map(_other_vocabulary, answering) if finding is not None]
    if others:
        details["finding"] = joined(others)
    return Estimate(float(not others), "servers", 1, details=details)
