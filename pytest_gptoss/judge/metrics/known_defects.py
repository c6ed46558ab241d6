"""Whether a device under test or its baseline is a version that is known to serve GPT-OSS wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.facts import FactBook, Stated
from pytest_gptoss.judge.known_defects import Standing, known_defects, platform_of, standing_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import both, either, joined, say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Preflight, Scenario

__all__ = ["present"]


def _facts_of_judged(roles: Roles) -> Mapping[str, Scenario]:
    """The device under test, and the baseline where there is one."""
    found: dict[str, Scenario] = {"npu": Preflight(roles.subject)}
    if roles.gpu is not None:
        found["gpu"] = Preflight(roles.gpu)
    return found


@metric(
    "known_defects",
    needs=_facts_of_judged,
    statistics=("count",),
    context=("stated", "labels"),
)
def present(
    *,
    npu: Measurement[ServerFacts],
    gpu: Measurement[ServerFacts] | None = None,
    stated: Stated,
    labels: Mapping[str, str],
) -> Estimate:
    """Count of known defects that the device under test and the baseline have, by version and condition.

    ``labels``: device -> what the user calls it. A baseline that does not answer is told by its own row and
    left out. Details: ``defects``, with what shows them and the remedy, and ``platforms``. It gates nothing.
    Raises InsufficientData where a version matches and a condition is not known, and none is present;
    ConditionAbsent where a version is not known, and where the table has nothing on these platforms.
    """
    given = {"npu": npu, "gpu": gpu}
    standings: list[Standing] = []
    platforms: dict[str, str] = {}
    for role, measurement in given.items():
        if measurement is None or (role == "gpu" and not measurement.items):
            continue
        device = measurement.device
        book = FactBook.of(device, sound_items(measurement, "servers")[0], stated)
        platform = platform_of(book, role=role, label=labels.get(device, ""))
        platforms[device] = platform or "not known"
        standings += [standing_of(each, book, platform=platform) for each in known_defects()]
    found = [each for each in standings if each.status == "present"]
    unclear = [each for each in standings if each.status == "unclear"]
    unknown = [each for each in standings if each.status == "unknown"]
    looked_at = sum(each.status != "elsewhere" for each in standings)
    if unclear and not found:
        raise InsufficientData(joined(_undecided(unclear)))
    if unknown and not found:
        raise ConditionAbsent(
            say("versions that are looked up are not known: {unknown}", unknown=_to_state(unknown, "VERSION"))
        )
    if not looked_at:
        named = ", ".join(f"{device} ({platform})" for device, platform in platforms.items())
        raise ConditionAbsent(say("no defect is known of what serves here: {named}", named=named))
    details: dict[str, Json] = {"defects": [_row(each) for each in found], "platforms": platforms}
    if found:
        details["finding"] = joined(map(_said, found))
        rest = _undecided(unclear)
        if unknown:
            rest.append(say("not known: {unknown}", unknown=_to_state(unknown, "VERSION")))
        if rest:
            details["note"] = joined(rest)
    return Estimate(float(len(found)), "defects", looked_at, details=details)


def _said(found: Standing) -> str:
    defect = found.defect
    return say(
        "{device}: {component} {version} ({source}) {wrong} ({known_from}); it shows in {rows}: {remedy}",
        device=found.device,
        component=defect.component,
        version=found.version,
        source=found.source,
        wrong=defect.wrong,
        known_from=defect.source,
        rows=", ".join(defect.rows),
        remedy=defect.remedy,
    )


def _undecided(unclear: Sequence[Standing]) -> list[str]:
    """A line for each entry whose version matches while a condition is not known."""
    lines: list[str] = []
    for each in unclear:
        where = both(
            say("{name} is {values}", name=name, values=either(values))
            for name, values in each.defect.when.items()
            if name in each.unknown
        )
        lines.append(
            say(
                "{device}: {component} {version} ({source}) {wrong} ({known_from}), where {where}, "
                "which nobody tells: state it, as {options}",
                device=each.device,
                component=each.defect.component,
                version=each.version,
                source=each.source,
                wrong=each.defect.wrong,
                known_from=each.defect.source,
                where=where,
                options=_to_state([each], "VALUE"),
            )
        )
    return lines


def _to_state(standings: Sequence[Standing], value: str) -> str:
    options = (f"--gptoss-info {each.device}.{name}={value}" for each in standings for name in each.unknown)
    return " ".join(dict.fromkeys(options))


def _row(found: Standing) -> dict[str, Json]:
    defect = found.defect
    return {
        "name": defect.name,
        "device": found.device,
        "component": defect.component,
        "version": found.version,
        "source_of_version": found.source,
        "wrong": defect.wrong,
        "rows": list(defect.rows),
        "remedy": defect.remedy,
        "source": defect.source,
    }
