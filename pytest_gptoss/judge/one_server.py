"""Whether one server was measured from the first family to the last: ACCEPTED is said of one server.

The server of a device is the same start of the same configuration: start of its process, model, checkpoint,
version, context and settings. What a server does not tell counts as unchanged. Two replicas behind one
address are two servers as well: each family was answered by a mixture of both, and what was measured on one
says nothing of the other. So they too are accepted only in part; no row turns red by it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import both, joined, say
from pytest_gptoss.model.subjects import ServerIdentity

__all__ = ["Sighting", "Source", "one_server", "one_source", "same_model", "sightings_of"]

Facts: TypeAlias = Mapping[str, str]

_LATEST_START = 1e11
"""Seconds since 1970: a larger number is no time."""
_MOST_SHOWN = 4
"""Servers and changed facts that a sentence lists."""
_NAMES: Mapping[str, str] = {
    "starts": "process start", "model": "model", "checkpoint": "checkpoint", "version": "version",
    "max_model_len": "max_model_len",
}  # fmt: skip


_SAID: Mapping[str, str] = {
    "process start": say("process start"), "model": say("model"), "checkpoint": say("checkpoint"),
    "version": say("version"),
}  # fmt: skip
"""The names that are words, as messages."""
_WHAT: Mapping[str, str] = {"measurements": say("measurements"), "hidden states": say("hidden states")}
"""What comes from another source, as messages call it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Who answered around one measurement, in the order seen, and the families whose rows rest on it."""

    before: tuple[ServerIdentity, ...]
    after: tuple[ServerIdentity, ...]
    families: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """Another source than the device's own server: ``place`` is an address or a file's name."""

    what: str
    place: str
    identity: ServerIdentity


def sightings_of(document: Json) -> tuple[tuple[ServerIdentity, ...], tuple[ServerIdentity, ...], str | None]:
    """Before, after and place, as ``measure.identity`` keeps them in a measurement's provenance.

    What is of another type than was written there counts as not told; an older run's measurement keeps none.
    """
    if not isinstance(document, dict):
        return (), (), None
    sides = [document.get(side) for side in ("before", "after")]
    before, after = (
        tuple(_identity(each) for each in side if isinstance(each, dict)) if isinstance(side, list) else ()
        for side in sides
    )
    place = document.get("place")
    return before, after, place if isinstance(place, str) else None


def _identity(document: Mapping[str, Json]) -> ServerIdentity:
    """Read what ``dataclasses.asdict`` wrote."""
    starts, settings, length = (document.get(name) for name in ("starts", "settings", "max_model_len"))
    model, checkpoint, version = (
        told if isinstance(told := document.get(name), str) else None
        for name in ("model", "checkpoint", "version")
    )
    return ServerIdentity(
        starts=tuple(each for each in starts if _is_time(each)) if isinstance(starts, list | tuple) else (),
        model=model,
        checkpoint=checkpoint,
        version=version,
        max_model_len=length if type(length) is int else None,
        settings={name: value for name, value in settings.items() if isinstance(value, str)}
        if isinstance(settings, dict)
        else {},
    )


def _is_time(value: Json) -> bool:
    return type(value) in (int, float) and 0 <= value < _LATEST_START


def one_server(device: str, sightings: Sequence[Sighting]) -> dict[str, Json] | None:
    """What tells that more than one server answered as ``device``; None when one did, as far as it tells.

    ``sightings`` are in the order of time. Keys: ``kind`` ("restart", or "replicas" where an earlier one
    answers again), ``changed`` (fact -> its values in order), ``sides`` (the families of each server, in
    order), ``across`` (families during whose measuring it changed), ``text``.
    """
    seen = [each for one in sightings for each in (*one.before, *one.after)]
    told = _filled([_facts(each) for each in seen])
    servers = list(dict.fromkeys(told))
    if len(servers) < 2:
        return None
    switches = [each for place, each in enumerate(told) if place == 0 or told[place - 1] != each]
    replicas = len(switches) > len(servers)
    sides: list[dict[str, None]] = [{} for _ in servers]
    across: dict[str, None] = {}
    at = 0
    for one in sightings:
        count = len(one.before) + len(one.after)
        here = {servers.index(each) for each in told[at : at + count]}
        at += count
        families = dict.fromkeys(sorted(one.families))
        if len(here) == 1:
            sides[here.pop()].update(families)
        elif here:
            across.update(families)
    changed = _changed([dict(each) for each in servers])
    found: dict[str, Json] = {
        "device": device,
        "kind": "replicas" if replicas else "restart",
        "changed": changed,
        "sides": [list(side) for side in sides],
        "across": list(across),
    }
    return {**found, "text": _text(found)}


def _filled(told: Sequence[Facts]) -> list[tuple[tuple[str, str], ...]]:
    """Each with what it does not tell as it was told last, or, where nobody told it before, next."""
    filled: list[dict[str, str]] = []
    last: dict[str, str] = {}
    for each in told:
        last = {**last, **each}
        filled.append(last)
    following: dict[str, str] = {}
    for place in reversed(range(len(filled))):
        following = {**following, **filled[place]}
        filled[place] = following
    return [tuple(sorted(each.items())) for each in filled]


def _facts(identity: ServerIdentity) -> Facts:
    """What is told, by the names that reports show."""
    values = {
        "starts": ", ".join(map(_time, identity.starts)),
        "model": identity.model,
        "checkpoint": identity.checkpoint,
        "version": identity.version,
        "max_model_len": None if identity.max_model_len is None else str(identity.max_model_len),
    }
    facts = {_NAMES[name]: value for name, value in values.items() if value}
    return {**facts, **{name: value for name, value in identity.settings.items() if name not in facts}}


def _time(seconds: float) -> str:
    """Seconds since 1970 as a date and a time in UTC, to the hundredth: so finely Linux tells a start."""
    return str(np.datetime64(round(seconds * 100) * 10, "ms"))[:-1] + "Z"


def _changed(servers: Sequence[Facts]) -> dict[str, list[str]]:
    """The facts that are not the same of all servers, each value once, in order."""
    names = dict.fromkeys(name for each in servers for name in each)
    ordered = [*(name for name in _NAMES.values() if name in names), *names]
    values = {
        name: list(dict.fromkeys(each[name] for each in servers if name in each))
        for name in dict.fromkeys(ordered)
    }
    return {name: found for name, found in values.items() if len(found) > 1}


def _text(found: Mapping[str, Json]) -> str:
    replicas = found["kind"] == "replicas"
    together = both if replicas else _in_turn
    changed = [
        say("{fact} {values}", fact=_SAID.get(name, name), values=together(_shown(values)))
        for name, values in found["changed"].items()
    ]
    more = [say("{count} more", count=len(changed) - _MOST_SHOWN)] if len(changed) > _MOST_SHOWN else []
    facts = joined([*changed[:_MOST_SHOWN], *more])
    sides = [", ".join(side) or say("no family") for side in found["sides"]]
    told = [
        say("server {number}: {families}", number=number, families=side)
        for number, side in enumerate(sides[:_MOST_SHOWN], 1)
    ]
    if found["across"]:
        told.append(say("on more than one: {families}", families=", ".join(found["across"])))
    lie = joined(told)
    if replicas:
        return say(
            "{device}: {sides} servers answered in turn at its address, as replicas do "
            "({facts}); {lie}; to accept them give each its own address, --npu-url NAME=URL",
            device=found["device"],
            sides=len(sides),
            facts=facts,
            lie=lie,
        )
    return say(
        "{device}: its server changed during the run ({facts}); {lie}; run all families "
        "on one start to accept it",
        device=found["device"],
        facts=facts,
        lie=lie,
    )


def _shown(values: Sequence[str]) -> list[str]:
    more = [say("{count} more", count=len(values) - _MOST_SHOWN)] if len(values) > _MOST_SHOWN else []
    return [*values[:_MOST_SHOWN], *more]


def _in_turn(values: Sequence[str]) -> str:
    return reduce(lambda before, after: say("{before} -> {after}", before=before, after=after), values)


def one_source(device: str, own: ServerIdentity, source: Source) -> dict[str, Json]:
    """A source of a device's measurements beside its own server: ``sound`` when it shares model and version.

    Its start is its own. What one of the two does not tell counts as the same. ``text`` names it.
    """
    theirs = source.identity
    sound = same_model(own, theirs) and _same(own.version, theirs.version)
    text = say(
        "{device}: {what} from {place} ({theirs})",
        device=device,
        what=_WHAT.get(source.what, source.what),
        place=source.place,
        theirs=_served(theirs),
    )
    if not sound:
        text = say(
            "{source}, its own server is {own}: "
            "take them from one model and one version, served or recorded again",
            source=text,
            own=_served(own),
        )
    return {
        "device": device,
        "what": source.what,
        "place": source.place,
        "model": theirs.model,
        "version": theirs.version,
        "sound": sound,
        "text": text,
    }


def same_model(one: ServerIdentity, other: ServerIdentity) -> bool:
    """Whether two serve one model, by the name served or by the checkpoint: one may have two names."""
    by_checkpoint = one.checkpoint is not None and one.checkpoint == other.checkpoint
    return by_checkpoint or _same(one.model, other.model)


def _same(ours: str | None, theirs: str | None) -> bool:
    return ours is None or theirs is None or ours == theirs


def _served(identity: ServerIdentity) -> str:
    return say(
        "{model}, {version}",
        model=identity.model or say("model not told"),
        version=say("version {version}", version=identity.version)
        if identity.version
        else say("version not told"),
    )
