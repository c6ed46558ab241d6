"""Which servers answered in a run, from what its measurements keep: one a device, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.one_server import Sighting, Source, one_server, one_source, sightings_of
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Preflight, Scenario

__all__ = ["RECORDED", "servers_seen"]

RECORDED = "recorded"
"""The store's document on the baseline file: ``file``, and the ``devices`` that it stands in for."""


@dataclass(frozen=True)
class _Recorded:
    """The store's document on the baseline file."""

    file: str
    devices: tuple[str, ...]


Families = Mapping[str, frozenset[str]]


def servers_seen(
    store: Store, plan: Plan, roles: Callable[[str], Roles], rows: Iterable[Mapping[str, Json]]
) -> dict[str, list[Json]]:
    """``changed``: what stands against one server a device, none where nothing does; ``sources``: all others.

    ``rows`` are the verdicts as reports carry them; ``roles`` tells the devices that play in one.
    Raises DamagedFile where a replayed run's account of its devices cannot be read.
    """
    families = _families(plan, roles, rows)
    found: dict[str, list[Json]] = {"changed": [], "sources": []}
    recorded: _Recorded | None = store.load_document(RECORDED, _Recorded)
    for each in probed_devices(store) or ():
        if each.device is None:
            continue
        sightings, sources = _seen(store, each.name, families)
        change = one_server(each.name, sightings)
        if change is not None:
            found["changed"].append(change)
        own = _last(sightings, ServerIdentity(model=each.device.model, version=each.device.server_version))
        if recorded is not None and each.name in recorded.devices:
            sources = [Source("measurements", recorded.file, own), *sources]
        found["sources"] += [one_source(each.name, own, source) for source in sources]
    return found


def _families(plan: Plan, roles: Callable[[str], Roles], rows: Iterable[Mapping[str, Json]]) -> Families:
    """Scenario id -> families of the judged rows that rest on it."""
    found: dict[str, set[str]] = {}
    for row in rows:
        threshold = plan.thresholds.get(row["threshold_id"])
        if threshold is None or row["verdict"] == "SKIPPED":
            continue
        for scenario in _needed(plan.metrics[threshold.metric], roles(row["npu"])):
            found.setdefault(scenario.id, set()).add(threshold.family)
    return {scenario_id: frozenset(names) for scenario_id, names in found.items()}


def _needed(metric: Metric, roles: Roles) -> Iterable[Scenario]:
    """The scenarios that a metric rests on, and those that they depend on."""
    try:
        needs = list(metric.needs(roles).values())
    except ValueError:  # it compares with a device that this run lacks
        return
    for each in needs:
        yield each
        yield from each.depends_on


def _seen(store: Store, device: str, families: Families) -> tuple[list[Sighting], list[Source]]:
    """Of one device: the sightings of its own server in the order of time, and its other sources."""
    measured = [each for each in map(store.load, store.scenario_ids()) if each and each.device == device]
    # What was told while probing comes first, whatever a clock said that was set meanwhile.
    measured.sort(key=lambda each: (each.scenario_id != Preflight(device).id, each.started))
    sightings: list[Sighting] = []
    sources: dict[str, Source] = {}
    for each in measured:
        before, after, place = sightings_of(each.provenance.get("server"))
        if place is None:
            sightings.append(Sighting(before, after, families.get(each.scenario_id, frozenset())))
        elif each.items:
            identity = _last([Sighting(before, after)], ServerIdentity())
            sources[place] = Source("hidden states", place, identity)
    return sightings, list(sources.values())


def _last(sightings: Sequence[Sighting], otherwise: ServerIdentity) -> ServerIdentity:
    """The last identity seen that tells a model."""
    seen = [each for one in sightings for each in (*one.before, *one.after) if each.model is not None]
    return seen[-1] if seen else otherwise
