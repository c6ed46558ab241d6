"""Before anything is compared: a server answers, it is the right one, and there are two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.judge.conditions import GPU, GPU_CHAT, PEER
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.facts import FactBook, Stated, release
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.judge.vocabulary import unlike
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Greedy, Preflight, Scenario

__all__ = [
    "MINIMUMS",
    "REQUIRED_VERSIONS",
    "baseline",
    "clock",
    "context",
    "distinct",
    "harmony_date",
    "model",
    "names_paris",
    "ready",
    "says_hi",
    "tokenizer",
    "versions",
]

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

_COMPARED = (("npu", "gpu"), ("npu", "first"), ("gpu", "cpu"))
_URL_OPTIONS = {"npu": "--npu-url", "first": "--npu-url", "gpu": "--gpu-url", "cpu": "--cpu-url"}


def _npu_facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Preflight(roles.npu)}


def _both_facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Preflight(roles.npu), "gpu": Preflight(gpu_of(roles))}


def _facts_of_baseline(roles: Roles) -> Mapping[str, Scenario]:
    others = {"gpu": gpu_of(roles), "cpu": roles.cpu}
    return {role: Preflight(name) for role, name in others.items() if name is not None}


def _facts_of_compared(roles: Roles) -> Mapping[str, Scenario]:
    compared = {"npu": roles.npu, "first": roles.first, "gpu": roles.gpu}
    if roles.gpu is not None:
        compared["cpu"] = roles.cpu
    return {role: Preflight(name) for role, name in compared.items() if name is not None}


def _smoke_prompts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Greedy(roles.npu, "smoke")}


@metric(
    "preflight_ready",
    needs=_npu_facts,
    statistics=("count",),
)
def ready(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of servers that answer: 1. Raises InsufficientData with the reason when none does."""
    facts = _facts(npu)
    details: dict[str, Json] = {"waited_s": facts.waited_s, "addresses": list(facts.addresses)}
    return Estimate(1.0, "servers", 1, details=details)


@metric(
    "preflight_model",
    needs=_npu_facts,
    statistics=("count",),
)
def model(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of models that can be asked: 1. Details: ``listed`` and ``model``.

    Raises InsufficientData when the one that is wanted is not served, or cannot be told from others.
    """
    facts = _usable(npu)
    return Estimate(1.0, "models", 1, details={"listed": list(facts.listed), "model": facts.model})


@metric(
    "preflight_tokenizer",
    needs=_npu_facts,
    statistics=("count",),
)
def tokenizer(*, npu: Measurement[ServerFacts]) -> Estimate:
    """Count of tokens of a fixed text that do not come out as in GPT-OSS's vocabulary: 0.

    Told by ``/tokenize``, else by the chat prompt. Raises ConditionAbsent where a server tells neither.
    """
    found = unlike(_usable(npu))
    if found is None:
        raise ConditionAbsent(
            f"{npu.device} tells no token ids: /tokenize does not answer, and chat answers lack "
            "prompt_token_ids: its tokenizer is not checked"
        )
    finding = _other_vocabulary(npu)
    details: dict[str, Json] = {} if finding is None else {"finding": finding}
    return Estimate(float(found.missing), "tokens", found.tokens, details=details)


def _other_vocabulary(measurement: Measurement[ServerFacts]) -> str | None:
    """What to say of a server that has another tokenizer; None when it has GPT-OSS's, or tells nothing."""
    facts = _facts(measurement)
    found = unlike(facts)
    if found is None or not found.missing:
        return None
    role = {"gpu": "gpu", "cpu": "cpu"}.get(measurement.device, "npu")
    option = "--gptoss-cpu-model-name" if role == "cpu" else f"--gptoss-{role}-model"
    return (
        f"{measurement.device} serves {facts.model}, which is not GPT-OSS or has another tokenizer: it tells "
        f"{found.text}: correct {_URL_OPTIONS[role]} or {option}, or serve the checkpoint's own tokenizer"
    )


@metric(
    "preflight_baseline",
    needs=_facts_of_baseline,
    condition=GPU,
    statistics=("count",),
)
def baseline(*, gpu: Measurement[ServerFacts], cpu: Measurement[ServerFacts] | None = None) -> Estimate:
    """As ``ready`` and ``model``, of the baseline: 0 when it, or the reference, has another tokenizer."""
    facts = _usable(gpu)
    details: dict[str, Json] = {"waited_s": facts.waited_s, "model": facts.model}
    answering = [gpu, *([cpu] if cpu is not None and cpu.items else [])]
    others = [finding for finding in map(_other_vocabulary, answering) if finding is not None]
    if others:
        details["finding"] = "; ".join(others)
    return Estimate(float(not others), "servers", 1, details=details)


@metric(
    "preflight_distinct",
    needs=_facts_of_compared,
    condition=PEER,
    statistics=("count",),
)
def distinct(
    *,
    npu: Measurement[ServerFacts],
    gpu: Measurement[ServerFacts] | None = None,
    first: Measurement[ServerFacts] | None = None,
    cpu: Measurement[ServerFacts] | None = None,
) -> Estimate:
    """Count of addresses at which two devices that are compared answer as one server.

    Compared are the device with the baseline and with the first device under test, the baseline with the
    CPU: a server agrees with itself and proves nothing. What answers decides, not where: ``_one_server`` says
    how. ``note`` tells of two servers at one address. A device that does not answer is told by its own row
    and left out here. Raises InsufficientData, with the way that works, where it cannot be told whether
    two names of a model at one address are two servers; ConditionAbsent where every pair was
    recorded by different runs: one machine may hold first the one server, then the other.
    """
    given = {"npu": npu, "gpu": gpu, "first": first, "cpu": cpu}
    answering = {role: each for role, each in given.items() if each is not None and each.items}
    facts = {role: _facts(each) for role, each in answering.items()}
    pairs = [(left, right) for left, right in _COMPARED if left in facts and right in facts]
    if not pairs:
        raise InsufficientData(f"nothing that {npu.device} is compared with answers")
    together = [(left, right) for left, right in pairs if facts[left].run == facts[right].run]
    if not together:
        other = answering[pairs[0][1]].device
        raise ConditionAbsent(f"{other} was recorded in another run: its address may be anybody's now")
    addresses: set[str] = set()
    said: dict[str, list[str]] = {"finding": [], "note": [], "unclear": []}
    for left, right in together:
        names = f"{answering[left].device} and {answering[right].device}"
        options = " or ".join(dict.fromkeys((_URL_OPTIONS[left], _URL_OPTIONS[right])))
        kind, text = _one_server(facts[left], facts[right], options, alike="first" in (left, right))
        if kind is not None:
            said[kind].append(f"{names} {text}")
        if kind == "finding":
            addresses.update(_shared(facts[left], facts[right]) or facts[left].addresses[:1])
    if said["unclear"] and not addresses:
        raise InsufficientData("; ".join(said["unclear"]))
    details: dict[str, Json] = {role: list(each.addresses) for role, each in facts.items()}
    details.update({kind: "; ".join(said[kind]) for kind in ("finding", "note") if said[kind]})
    return Estimate(float(len(addresses)), "addresses", len(together), details=details)


def _shared(ours: ServerFacts, theirs: ServerFacts) -> list[str]:
    return sorted(set(ours.addresses) & set(theirs.addresses))


def _one_server(
    ours: ServerFacts, theirs: ServerFacts, options: str, *, alike: bool
) -> tuple[Literal["finding", "note", "unclear"] | None, str]:
    """What two devices are: "finding" where they are one server, "note" where two share an address.

    "unclear" where it cannot be told, None where nothing is to be said. At one address: two host names are
    two servers behind one ingress, unless their processes began at one moment; two names of a model are
    two servers behind one gateway where each repeats its own log-probabilities and they differ, and one
    server under two names where they are the same to the last digit. At two addresses they are one server
    when both the start of the process and all digits are the same. ``alike``: two configurations of one
    kind of device may compute the same digits, so that these alone prove nothing.
    """
    shared = _shared(ours, theirs)
    digits = _same_digits(ours, theirs)
    if not shared:
        one = ours.started_s is not None and ours.started_s == theirs.started_s and digits is True
        said = f"are one server at two addresses, {ours.addresses[0]} and {theirs.addresses[0]}"
        why = "one process start and the same log-probabilities"
        return ("finding", f"{said}: {why}: correct {options}") if one else (None, "")
    place = shared[0]
    if _may_be_two(ours, theirs):
        hosts = f"by the names {ours.host} and {theirs.host}"
        return "note", f"answer at one address, {place}, {hosts}: taken for two servers behind one ingress"
    if ours.model is None or theirs.model is None or ours.model == theirs.model:
        return "finding", f"are one server, {place}: correct {options}"
    models = f"as the models {ours.model} and {theirs.model}"
    if digits is False:
        return "note", (
            f"answer at one address, {place}, {models}, each with log-probabilities of its own: "
            "two servers behind one gateway"
        )
    if digits and not alike:
        return "finding", (
            f"are one server under two names, {place}, {models}: the same log-probabilities to the last "
            f"digit: correct {options}"
        )
    why = (
        "compute the same log-probabilities"
        if digits
        else "repeat no log-probabilities to tell them apart by"
    )
    return "unclear", (
        f"answer at one address, {place}, {models}, and {why}: one server under two names, or two behind a "
        f"gateway? Give {options} the address of each server itself; where only the gateway can be reached "
        "and leads to two, say so with --gptoss-waive preflight.distinct=REASON"
    )


def _same_digits(ours: ServerFacts, theirs: ServerFacts) -> bool | None:
    """Whether two computed the same log-probabilities of the same tokens; None when it was not seen."""
    if ours.answers_sha256 is None or theirs.answers_sha256 is None:
        return None
    return ours.answers_sha256 == theirs.answers_sha256


@metric(
    "preflight_context",
    needs=_npu_facts,
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
        details["finding"] = (
            f"{npu.device} serves a context of {served} tokens and the selected rows need {context_needed}: "
            f"serve with --max-model-len {context_needed} or more; rows that fit are judged nevertheless"
        )
    return Estimate(float(short), "tokens", 1, details=details)


@metric(
    "preflight_versions",
    needs=_npu_facts,
    statistics=("count",),
    context=("stated",),
    arguments={"required": REQUIRED_VERSIONS},
)
@metric(
    "preflight_versions_told",
    needs=_npu_facts,
    statistics=("count",),
    context=("stated",),
)
def versions(*, npu: Measurement[ServerFacts], stated: Stated, required: tuple[str, ...] = ()) -> Estimate:
    """Count of components older than the acceptance guide allows, among those whose version is known.

    Compared by release segment. Details: ``components``, and ``unknown``, those nobody tells. Raises
    InsufficientData when none is too old and one of ``required`` is not known, ConditionAbsent when no
    version is known and none is required.
    """
    book = FactBook.of(npu.device, _facts(npu), stated)
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
            f"{npu.device}: nobody tells the version of {', '.join(missing)} (/version is vLLM's own): "
            f"state it, as {options}"
        )
    example = f"--gptoss-info {npu.device}.{unknown[0]}={MINIMUMS[unknown[0]]}" if unknown else ""
    if not components:
        raise ConditionAbsent(
            f"{npu.device}: no version is known of {', '.join(unknown)}: state it, as {example}"
        )
    details: dict[str, Json] = {"components": components, "unknown": unknown}
    if unknown:
        details["note"] = f"{npu.device}: not known: {', '.join(unknown)}; state it, as {example}"
    if old_ones:
        listed = ", ".join(f"{each['name']} {each['version']} < {each['least']}" for each in old_ones)
        details["finding"] = f"{npu.device}: {listed} ({old_ones[0]['source']}): upgrade"
    return Estimate(float(len(old_ones)), "components", len(components), details=details)


@metric(
    "preflight_clock",
    needs=_both_facts,
    condition=GPU,
    depends_on=("preflight.baseline",),
    statistics=("difference",),
)
def clock(*, npu: Measurement[ServerFacts], gpu: Measurement[ServerFacts]) -> Estimate:
    """Seconds between the clocks of the two servers, each taken from its Date header.

    Raises ConditionAbsent when one sends none.
    """
    ours, theirs = _facts(npu).clock_ahead_s, _facts(gpu).clock_ahead_s
    if ours is None or theirs is None:
        device = npu.device if ours is None else gpu.device
        raise ConditionAbsent(f"{device} sends no Date header: its clock cannot be seen")
    apart = abs(ours - theirs)
    details: dict[str, Json] = {"npu_ahead_s": ours, "gpu_ahead_s": theirs}
    if apart >= 2:
        details["finding"] = (
            f"the clocks of {npu.device} and {gpu.device} are {apart:.0f} s apart: "
            "set them by one time server, or the date in their prompts will differ around midnight"
        )
    return Estimate(apart, "s", 1, details=details)


@metric(
    "preflight_date",
    needs=_both_facts,
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
        facts = _facts(measurement)
        told = facts.harmony_date
        if told is None:
            why = facts.date_trouble or "return_token_ids and /detokenize would"
            raise ConditionAbsent(
                f"{measurement.device} does not show the date in its prompt ({why}): "
                "inputs.identical compares the prompts themselves"
            )
        dates[measurement.device] = told
    ours, theirs = dates.values()
    apart = abs(_day(ours, npu.device) - _day(theirs, gpu.device))
    details: dict[str, Json] = {"npu": ours, "gpu": theirs}
    if apart:
        details["finding"] = (
            f"{npu.device} tells its model that today is {ours}, {gpu.device} says {theirs}: "
            "start both with the same VLLM_SYSTEM_START_DATE=YYYY-MM-DD, or send the baseline's prompts with "
            "--gptoss-inputs token-ids"
        )
    return Estimate(float(apart), "days", 1, details=details)


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
        details["finding"] = f"asked for the capital of France, {npu.device} says {said[:80]!r}"
    return Estimate(float(named), "answers", 1, details=details)


def _facts(measurement: Measurement[ServerFacts]) -> ServerFacts:
    return sound_items(measurement, "servers")[0]


def _may_be_two(ours: ServerFacts, theirs: ServerFacts) -> bool:
    """Whether two that share an address may still be two servers: two names, and not one process."""
    if ours.host is None or theirs.host is None or ours.host == theirs.host:
        return False
    return ours.started_s is None or ours.started_s != theirs.started_s


def _usable(measurement: Measurement[ServerFacts]) -> ServerFacts:
    facts = _facts(measurement)
    if facts.model is None:
        raise InsufficientData(facts.problem)
    return facts


def _served_context(measurement: Measurement[ServerFacts]) -> int:
    served = _usable(measurement).max_model_len
    if served is None:
        raise InsufficientData(
            f"{measurement.device}: /v1/models tells no max_model_len; is it a vLLM server, or does a proxy "
            "answer for it?"
        )
    return served


def _smoke(measurement: Measurement[Generation], prompt_id: str) -> Generation:
    """One smoke question by itself: what became of the other does not matter."""
    items = tuple(item for item in measurement.items if item.prompt_id == prompt_id)
    whole = () if items else ("*",)  # what ended the measuring after this answer is no matter either
    failures = tuple(each for each in measurement.failures if each.item_id in (prompt_id, *whole))
    complete = measurement.complete or bool(items)
    return sound_items(replace(measurement, items=items, failures=failures, complete=complete), "prompts")[0]


def _day(text: str, device: str) -> int:
    """An ISO date as a number of days."""
    try:
        return int(np.datetime64(text, "D").astype(int))
    except ValueError:
        raise InsufficientData(
            f"{device}'s prompt holds the date {text!r}: correct VLLM_SYSTEM_START_DATE"
        ) from None
