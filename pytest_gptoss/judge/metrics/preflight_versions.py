"""Whether components are as new as the acceptance guide asks for."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.facts import FactBook, Stated, facts_of, release
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import npu_facts
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["MINIMUMS", "REQUIRED_VERSIONS", "versions"]

MINIMUMS: Mapping[str, str] = {
    "vllm": "0.18.0",
    "vllm_ascend": "0.18.0",
    "cann": "8.5.1",
    "torch": "2.9.0",
    "torch_npu": "2.9.0",
}
"""Least versions of the acceptance guide's environment table; vLLM's own is that of its Ascend plugin."""

REQUIRED_VERSIONS = ("vllm", "vllm_ascend", "cann")
"""Without these an acceptance does not say what was accepted, and known defects cannot be looked up."""


@metric(
    "preflight_versions",
    needs=npu_facts,
    statistics=("count",),
    context=("stated",),
    arguments={"required": REQUIRED_VERSIONS},
)
@metric(
    "preflight_versions_told",
    needs=npu_facts,
    statistics=("count",),
    context=("stated",),
)
def versions(*, npu: Measurement[ServerFacts], stated: Stated, required: tuple[str, ...] = ()) -> Estimate:
    """Count of components older than the acceptance guide allows, among those whose version is known.

    Compared by release segment. Details: ``components``, and ``unknown``, those nobody tells. Raises
    InsufficientData when none is too old and one of ``required`` is not known, ConditionAbsent when no
    version is known and none is required.
    """
    book = FactBook.of(npu.device, facts_of(npu), stated)
    components: list[dict[str, Json]] = []
    unknown: list[str] = []
    for name, least in MINIMUMS.items():
        fact = book.get(name)
        found = None if fact is None else release(fact.value)
        if fact is None or found is None:
            unknown.append(name)
            continue
        old = found < (release(least) or ())
        components.append(
            {"name": name, "version": fact.value, "least": least, "source": fact.source, "old": old}
        )
    old_ones = [each for each in components if each["old"]]
    missing = [name for name in unknown if name in required]
    if missing and not old_ones:
        options = " ".join(f"--gptoss-info {npu.device}.{name}=VERSION" for name in missing)
        raise InsufficientData(
            say(
                "{device}: nobody tells the version of {missing} (/version is vLLM's own): state "
                "it, as {options}",
                device=npu.device,
                missing=", ".join(missing),
                options=options,
            )
        )
    example = f"--gptoss-info {npu.device}.{unknown[0]}={MINIMUMS[unknown[0]]}" if unknown else ""
    if not components:
        raise ConditionAbsent(
            say(
                "{device}: no version is known of {unknown}: state it, as {example}",
                device=npu.device,
                unknown=", ".join(unknown),
                example=example,
            )
        )
    details: dict[str, Json] = {"components": components, "unknown": unknown}
    if unknown:
        details["note"] = say(
            "{device}: not known: {unknown}; state it, as {example}",
            device=npu.device,
            unknown=", ".join(unknown),
            example=example,
        )
    if old_ones:
        listed = ", ".join(f"{each['name']} {each['version']} < {each['least']}" for each in old_ones)
        details["finding"] = say(
            "{device}: {listed} ({source}): upgrade",
            device=npu.device,
            listed=listed,
            source=old_ones[0]["source"],
        )
    return Estimate(float(len(old_ones)), "components", len(components), details=details)
