"""Judging a finished run again: its devices, inputs and profile come from its own store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from pytest_gptoss.errors import UsageError
from pytest_gptoss.records import Json, LoadTask, NeedleTask
from pytest_gptoss.settings import DeviceSettings, Settings

__all__ = ["replayed", "run_facts"]


def run_facts(settings: Settings, profile: str, workload: Mapping[str, Json]) -> dict[str, Json]:
    """What a run's store remembers so that it can be replayed; no secret and no credentials.

    ``workload`` are the facts that its measurements rest on.
    """
    return {
        "devices": [
            {"role": each.role, "name": each.name, "url": each.url, "label": each.label}
            for each in settings.devices
        ],
        "inputs": settings.inputs,
        "needle": dataclasses.asdict(settings.needle),
        "needle_grid": settings.needle_grid,
        "load": dataclasses.asdict(settings.load),
        "profile": profile,
        "workload": dict(workload),
    }


def replayed(settings: Settings) -> Settings:
    """``settings`` completed from the run they replay; unchanged when they replay none.

    Raises UsageError when the directory holds no run.
    """
    if settings.replay is None:
        return settings
    path = settings.replay / "run" / "run.json"
    try:
        facts: Mapping[str, Json] = json.loads(path.read_text("utf-8"))
        devices = tuple(DeviceSettings(**device) for device in facts["devices"])
        return dataclasses.replace(
            settings,
            devices=devices,
            inputs=facts["inputs"],
            needle=NeedleTask(**facts["needle"]),
            needle_grid=facts["needle_grid"],
            load=_load(facts["load"]),
            profile=settings.profile or facts["profile"],
            replayed_workload=facts["workload"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--gptoss-replay {settings.replay}: no finished run there ({error}); "
            "name the directory its reports were written to"
        ) from error


def _load(facts: Mapping[str, Json]) -> LoadTask:
    levels = facts["concurrency"]
    return LoadTask(**{**facts, "concurrency": None if levels is None else tuple(levels)})
