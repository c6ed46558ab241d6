"""Whether devices that are compared are two servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pytest_gptoss.judge.conditions import PEER
from pytest_gptoss.judge.facts import facts_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import both, either, joined, say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Preflight, Scenario

__all__ = ["distinct"]

_COMPARED = (("npu", "gpu"), ("npu", "first"), ("gpu", "cpu"))

_URL_OPTIONS = {"npu": "--npu-url", "first": "--npu-url", "gpu": "--gpu-url", "cpu": "--cpu-url"}


def _facts_of_compared(roles: Roles) -> Mapping[str, Scenario]:
    compared = {"npu": roles.subject, "first": roles.first, "gpu": roles.gpu}
    if roles.gpu is not None:
        compared["cpu"] = roles.cpu
    return {role: Preflight(name) for role, name in compared.items() if name is not None}


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
    facts = {role: facts_of(each) for role, each in answering.items()}
    pairs = [(left, right) for left, right in _COMPARED if left in facts and right in facts]
    if not pairs:
        raise InsufficientData(say("nothing that {device} is compared with answers", device=npu.device))
    together = [(left, right) for left, right in pairs if facts[left].run == facts[right].run]
    if not together:
        other = answering[pairs[0][1]].device
        raise ConditionAbsent(
            say("{other} was recorded in another run: its address may be anybody's now", other=other)
        )
    addresses: set[str] = set()
    said: dict[str, list[str]] = {"finding": [], "note": [], "unclear": []}
    for left, right in together:
        names = both([answering[left].device, answering[right].device])
        options = either(dict.fromkeys((_URL_OPTIONS[left], _URL_OPTIONS[right])))
        kind, text = _one_server(facts[left], facts[right], options, alike="first" in (left, right))
        if kind is not None:
            said[kind].append(say("{names} {text}", names=names, text=text))
        if kind == "finding":
            addresses.update(_shared(facts[left], facts[right]) or facts[left].addresses[:1])
    if said["unclear"] and not addresses:
        raise InsufficientData(joined(said["unclear"]))
    details: dict[str, Json] = {role: list(each.addresses) for role, each in facts.items()}
    details.update({kind: joined(said[kind]) for kind in ("finding", "note") if said[kind]})
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
        said = say(
            "are one server at two addresses, {one} and {other}",
            one=ours.addresses[0],
            other=theirs.addresses[0],
        )
        why = say("one process start and the same log-probabilities")
        wrong = say("{said}: {why}: correct {options}", said=said, why=why, options=options)
        return ("finding", wrong) if one else (None, "")
    place = shared[0]
    if _may_be_two(ours, theirs):
        hosts = say("by the names {one} and {other}", one=ours.host, other=theirs.host)
        return "note", say(
            "answer at one address, {place}, {hosts}: taken for two servers behind one ingress",
            place=place,
            hosts=hosts,
        )
    if ours.model is None or theirs.model is None or ours.model == theirs.model:
        return "finding", say("are one server, {place}: correct {options}", place=place, options=options)
    models = say("as the models {one} and {other}", one=ours.model, other=theirs.model)
    if digits is False:
        return "note", say(
            "answer at one address, {place}, {models}, each with log-probabilities of its "
            "own: two servers behind one gateway",
            place=place,
            models=models,
        )
    if digits and not alike:
        return "finding", say(
            "are one server under two names, {place}, {models}: the same log-probabilities "
            "to the last digit: correct {options}",
            place=place,
            models=models,
            options=options,
        )
    why = (
        say("compute the same log-probabilities")
        if digits
        else say("repeat no log-probabilities to tell them apart by")
    )
    return "unclear", say(
        "answer at one address, {place}, {models}, and {why}: one server under two "
        "names, or two behind a gateway? Give {options} the address of each server "
        "itself; where only the gateway can be reached and leads to two, say so with "
        "--gptoss-waive preflight.distinct=REASON",
        place=place,
        models=models,
        why=why,
        options=options,
    )


def _same_digits(ours: ServerFacts, theirs: ServerFacts) -> bool | None:
    """Whether two computed the same log-probabilities of the same tokens; None when it was not seen."""
    if ours.answers_sha256 is None or theirs.answers_sha256 is None:
        return None
    return ours.answers_sha256 == theirs.answers_sha256


def _may_be_two(ours: ServerFacts, theirs: ServerFacts) -> bool:
    """Whether two that share an address may still be two servers: two names, and not one process."""
    if ours.host is None or theirs.host is None or ours.host == theirs.host:
        return False
    return ours.started_s is None or ours.started_s != theirs.started_s
