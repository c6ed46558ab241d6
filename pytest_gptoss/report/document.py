"""The one report document: built here from records, rendered elsewhere, never recomputed.

``schemas/acceptance-1.schema.json`` describes it; ``SCHEMA_VERSION`` grows with any change that a
reader could notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, TypeAlias

from pytest_gptoss.judge.fleet_matrix import fleet_matrix
from pytest_gptoss.judge.verdicts import headroom, line
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import with_messages
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.model.verdicts import Threshold, Verdict
from pytest_gptoss.report.equivalence import equivalence

__all__ = [
    "SCHEMA_VERSION",
    "Headline",
    "State",
    "acceptance_document",
    "changed_limits",
    "device_row",
    "finite",
    "not_judged_row",
    "several_servers",
    "verdict_row",
]

SCHEMA_VERSION = 1

State: TypeAlias = Literal["running", "finished", "interrupted"]
Headline: TypeAlias = Literal[
    "ACCEPTED", "PASSED IN PART", "NOT ACCEPTED", "INVALID", "INCOMPLETE", "NOTHING JUDGED"
]


def verdict_row(
    verdict: Verdict, *, devices: Mapping[str, Device], model: str | None, profile: str
) -> dict[str, Json]:
    """One verdict as reports carry it: JUnit's properties, ``ci``, ``source``, the line and details.

    ``devices`` are those that played, by name. A value that does not exist is null.
    """
    threshold = verdict.threshold
    low, high = verdict.interval if verdict.interval is not None else (None, None)
    return {
        "threshold_id": threshold.id,
        "npu": verdict.subject,
        "device": verdict.subject,
        "family": threshold.family,
        "tier": threshold.tier,
        "statistic": threshold.statistic,
        "statistic_from": threshold.statistic_from,
        "value": verdict.value,
        "limit": threshold.limit,
        "changed_from": threshold.changed_from,
        "comparison": threshold.comparison,
        "unit": threshold.unit,
        "n": verdict.n,
        "ci_low": low,
        "ci_high": high,
        "ci": None if verdict.interval is None else [low, high],
        "proven": verdict.proven,
        "headroom": _headroom(verdict),
        "verdict": verdict.status,
        "reason": verdict.reason or None,
        "npu_label": _label(devices.get(verdict.subject)),
        "gpu_label": _label(devices.get("gpu")),
        "model": model,
        "profile": profile,
        "source": threshold.source,
        "line": line(verdict, devices),
        "details": finite(dict(verdict.details)),
    }


def _headroom(verdict: Verdict) -> float | None:
    row = verdict.threshold
    return None if verdict.value is None else headroom(verdict.value, row.comparison, row.limit, row.unit)


def not_judged_row(npu: str, threshold: Threshold, *, selected: bool) -> dict[str, Json]:
    """One threshold of the profile that has no verdict: left out by the user, or not reached."""
    return {
        "threshold_id": threshold.id,
        "npu": npu,
        "family": threshold.family,
        "tier": threshold.tier,
        "comparison": threshold.comparison,
        "limit": threshold.limit,
        "unit": threshold.unit,
        "why": "not reached" if selected else "not selected",
    }


def changed_limits(thresholds: Iterable[Threshold]) -> dict[str, dict[str, Json]]:
    """What the user has changed of the profile's limits, by threshold id: ``from``, ``to``.

    Where the limit holds for another statistic than the profile's: ``statistic_from``, ``statistic_to`` too.
    """
    changes: dict[str, dict[str, Json]] = {}
    for row in thresholds:
        if row.changed_from is not None or row.statistic_from is not None:
            before = row.limit if row.changed_from is None else row.changed_from
            changes[row.id] = {"from": before, "to": row.limit}
        if row.statistic_from is not None:
            changes[row.id] |= {"statistic_from": row.statistic_from, "statistic_to": row.statistic}
    return changes


def _label(device: Device | None) -> str | None:
    return None if device is None else device.label


def device_row(
    name: str, role: str, url: str | None, device: Device | None, problem: str | None
) -> dict[str, Json]:
    """One device as reports carry it; ``problem`` says why it could not be measured."""
    if device is None:
        return {
            "role": role, "name": name, "label": None, "url": url, "model": None, "server_version": None,
            "max_model_len": None, "capabilities": None, "problem": problem,
        }  # fmt: skip
    return {
        "role": role,
        "name": name,
        "label": device.label,
        "url": device.url,
        "model": device.model,
        "server_version": device.server_version,
        "max_model_len": device.max_model_len,
        "capabilities": asdict(device.capabilities),
        "problem": None,
    }


def acceptance_document(
    *,
    state: State,
    run: Mapping[str, Json],
    devices: Sequence[Mapping[str, Json]] = (),
    verdicts: Iterable[Mapping[str, Json]] = (),
    selected: int = 0,
    measurements: Mapping[str, Json] | None = None,
    not_judged: Sequence[Mapping[str, Json]] = (),
    fleet: FleetTask | None = None,
) -> dict[str, Json]:
    """``acceptance.json``. ``selected`` is how many rows the run was asked for.

    ``fleet`` is the task of a run over a fleet, whose nodes stand side by side in ``run.fleet``.
    ``messages`` stands in it where there are any: what its sentences are made of, for other languages.
    """
    rows = list(verdicts)
    gpu = fleet is not None and any(each["role"] == "gpu" for each in devices)
    whole = not several_servers(measurements or {}) and (fleet is None or gpu)
    document = {
        "schema_version": SCHEMA_VERSION,
        "state": state,
        "run": {
            **run,
            "verdict": headline(state, rows, selected, not_judged, whole),
            "equivalence": equivalence(rows),
            "fleet": None if fleet is None else _fleet(fleet, rows, gpu),
            "selected": selected,
        },
        "devices": list(devices),
        "verdicts": rows,
        "not_judged": list(not_judged),
        "measurements": dict(measurements or {}),
    }
    return with_messages(document)


def _fleet(task: FleetTask, rows: Sequence[Mapping[str, Json]], gpu: bool) -> dict[str, Json]:
    """``run.fleet``: what was asked of the nodes, and how they stand beside each other."""
    asked = {"canaries": task.canaries, "repeats": task.repeats, "in_flight": task.in_flight}
    return {**asked, **fleet_matrix(task.nodes, rows, gpu=gpu)}


def headline(
    state: State,
    verdicts: Sequence[Mapping[str, Json]],
    selected: int,
    not_judged: Sequence[Mapping[str, Json]] = (),
    whole: bool = True,
) -> Headline:
    """The run in one word.

    ``whole``: each device was one server from the first to the last, and the nodes of a fleet were compared
    with a GPU. ACCEPTED: nothing stands against it, every contract row of the profile was judged and passed,
    apart from those whose condition is absent, and it is whole.
    PASSED IN PART: one was waived, left out, or there was none, or the run is not whole.
    """
    found = {row["verdict"] for row in verdicts}
    if "FAIL" in found:
        return "NOT ACCEPTED"
    if "INVALID" in found:
        return "INVALID"
    if state != "finished" or len(verdicts) < selected:
        return "INCOMPLETE"
    if "PASS" not in found:
        return "NOTHING JUDGED"
    contract = {row["verdict"] for row in verdicts if row["tier"] == "contract"}
    left_out = any(row["tier"] == "contract" for row in not_judged)
    if left_out or "WAIVED" in contract or "PASS" not in contract or not whole:
        return "PASSED IN PART"
    return "ACCEPTED"


def several_servers(measurements: Mapping[str, Json]) -> list[str]:
    """What stands against one server a device, a sentence each; empty when nothing does."""
    servers = measurements.get("servers") or {"changed": [], "sources": []}
    found = [*servers["changed"], *(each for each in servers["sources"] if not each["sound"])]
    return [each["text"] for each in found]
