"""Judging a finished run again: its devices, inputs and profile come from its own store."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.config.options import MOST_WORKERS
from pytest_gptoss.config.settings import DeviceSettings, Inputs, NeedleGrid, Settings
from pytest_gptoss.model.arrivals import MOST_CV
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import LEAST_NODES, MOST_ASKED, MOST_NODES, FleetTask
from pytest_gptoss.model.inputs import LoadShape, LoadTask, NeedleTask
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.model.subjects import Role
from pytest_gptoss.run.store import FORMAT
from pytest_gptoss.scenarios.kinds import CORPUS

__all__ = ["replayed", "run_facts"]


def run_facts(settings: Settings, profile: str, workload: Mapping[str, Json]) -> dict[str, Json]:
    """What a run's store remembers so that it can be replayed; no secret and no credentials.

    ``workload`` are the facts that its measurements rest on.
    """
    return {
        "format": FORMAT,
        "devices": [
            {"role": each.role, "name": each.name, "url": each.url, "label": each.label}
            for each in settings.devices
        ],
        "inputs": settings.inputs,
        "cpu_sequences": settings.cpu_sequences,
        "needle": dataclasses.asdict(settings.needle),
        "needle_grid": settings.needle_grid,
        "load": dataclasses.asdict(settings.load),
        "fleet": None if settings.fleet is None else dataclasses.asdict(settings.fleet),
        "profile": profile,
        "workload": dict(workload),
    }


@dataclass(frozen=True)
class _StoredDevice:
    role: Role
    name: str
    url: str | None
    label: str | None


@dataclass(frozen=True)
class _RunFacts:
    """``run.json``, as ``run_facts`` makes it."""

    format: Literal[2]
    devices: tuple[_StoredDevice, ...]
    inputs: Inputs
    cpu_sequences: int
    needle: NeedleTask
    needle_grid: NeedleGrid
    load: LoadTask
    profile: str
    workload: Mapping[str, str | int | None]
    fleet: FleetTask | None = None


def replayed(settings: Settings) -> Settings:
    """``settings`` completed from the run they replay; unchanged when they replay none.

    Raises UsageError when the directory holds no run, or one of another format.
    """
    if settings.replay is None:
        return settings
    path = settings.replay / "run" / "run.json"
    try:
        document = parse(path.read_bytes())
        _refuse_other_format(settings.replay, document)
        facts: _RunFacts = typed(_RunFacts, document)
        _refuse_unsound(facts)
    except (OSError, Mismatch) as error:
        raise UsageError(
            f"--gptoss-replay {settings.replay}: no finished run there ({_without_path(error)}); "
            "name the directory its reports were written to"
        ) from None
    return dataclasses.replace(
        settings,
        devices=tuple(DeviceSettings(each.role, each.name, each.url, each.label) for each in facts.devices),
        inputs=facts.inputs,
        cpu_sequences=facts.cpu_sequences,
        needle=facts.needle,
        needle_grid=facts.needle_grid,
        load=facts.load,
        fleet=facts.fleet,
        profile=settings.profile or facts.profile,
        replayed_workload=facts.workload,
    )


def _refuse_other_format(directory: Path, document: Json) -> None:
    """Raise UsageError for a run that another version has written: its ids may mean something else."""
    stated = document.get("format") if isinstance(document, dict) else FORMAT
    if stated != FORMAT:
        raise UsageError(
            f"--gptoss-replay {directory}: run/run.json: format {stated!r:.40}, this version reads {FORMAT}; "
            "measure again in a new run"
        )


def _without_path(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"run/run.json: {error.strerror}"
    return f"run/run.json: {error}"


MOST = 10**9
"""More than any count of a run."""


def _refuse_unsound(facts: _RunFacts) -> None:
    """Raise Mismatch for what no options could have said: names and counts that a run cannot have."""
    names: set[str] = set()
    for index, device in enumerate(facts.devices):
        usual = ("gpu", "cpu", CORPUS)
        fits = device.name not in usual if device.role == "npu" else device.name == device.role
        if not fits or device.name in names or not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", device.name):
            raise Mismatch(f"no {device.role} is called {device.name[:40]!r}", f".devices[{index}].name")
        names.add(device.name)
        if device.url is not None:
            try:
                Endpoint.parse(device.url)
            except UsageError as error:
                raise Mismatch(str(error), f".devices[{index}].url") from None
    load, needle = facts.load, facts.needle
    levels = load.concurrency or (1,)
    counts = {
        "cpu_sequences": (2, facts.cpu_sequences, MOST),
        "needle.trials": (1, needle.trials, 10_000),
        "needle.seed": (0, needle.seed, 10**18),
        "needle.max_context_len": (1, needle.max_context_len, MOST),
        "load.trials": (1, load.trials, 10_000),
        "load.seed": (0, load.seed, 10**18),
        "load.requests": (1, load.requests, MOST),
        "load.max_tokens": (2, load.max_tokens, MOST),
        "load.prompt_tokens": (1, load.prompt_tokens, MOST),
        "load.workers": (1, load.workers, MOST_WORKERS),
        "load.concurrency": (1, min(levels), 9999),
        "load.concurrency[-1]": (min(levels), max(levels), 9999),
        **_counts_of_trace(load.trace),
    }
    for place, (least, count, most) in counts.items():
        if count is not None and not least <= count <= most:
            raise Mismatch(f"{count} where a whole number from {least} to {most} belongs", f".{place}")
    _refuse_unsound_fleet(facts)
    if len(set(levels)) < len(levels):
        raise Mismatch("a level is named twice", ".load.concurrency")
    if load.concurrency == ():
        raise Mismatch("no level is named", ".load.concurrency")
    _refuse_unsound_arrivals(load)
    if not re.fullmatch(r"[0-9a-f]{64}", str(facts.workload.get("prompts_sha256"))):
        raise Mismatch("no SHA-256", ".workload.prompts_sha256")


def _refuse_unsound_fleet(facts: _RunFacts) -> None:
    """Raise Mismatch for a fleet whose nodes are not the devices under test, or that asks for nothing."""
    fleet = facts.fleet
    if fleet is None:
        return
    subjects = tuple(each.name for each in facts.devices if each.role == "npu")
    if fleet.nodes != subjects or not LEAST_NODES <= len(subjects) <= MOST_NODES:
        raise Mismatch("other nodes than the devices under test", ".fleet.nodes")
    counts = {"canaries": fleet.canaries, "repeats": fleet.repeats, "in_flight": fleet.in_flight}
    for name, count in counts.items():
        if not 1 <= count <= MOST_ASKED:
            raise Mismatch(f"{count} where a whole number from 1 to {MOST_ASKED} belongs", f".fleet.{name}")


def _counts_of_trace(trace: LoadShape | None) -> dict[str, tuple[int, int | None, int]]:
    """Counts of the trace's level with what they may be; none without one."""
    if trace is None:
        return {}
    counts = {"concurrency": trace.concurrency, "requests": trace.requests,
              "prompt_tokens": trace.prompt_tokens, "max_tokens": trace.max_tokens,
              "longest": trace.longest}  # fmt: skip
    return {f"load.trace.{name}": (1, count, MOST) for name, count in counts.items()}


def _refuse_unsound_arrivals(load: LoadTask) -> None:
    """Raise Mismatch for rates, times and a service level that no options could have said."""
    rates = load.rates or (1.0,)
    arrivals = None if load.trace is None else load.trace.arrivals
    if load.trace is not None and (arrivals is None or arrivals.trace is None):
        raise Mismatch("a level without a trace", ".load.trace")
    numbers = {
        "rates": (min(rates), 100_000.0),
        "rates[-1]": (max(rates), 100_000.0),
        "cv": (load.cv, MOST_CV),
        "duration_s": (load.duration_s, inf),
        "ramp_up_s": (load.ramp_up_s, inf),
        "slo_ttft_ms": (load.slo_ttft_ms, inf),
        "slo_tpot_ms": (load.slo_tpot_ms, inf),
        "slo_share": (load.slo_share, 1.0),
        "trace.arrivals.rate": (None if arrivals is None else arrivals.rate, inf),
    }
    for place, (number, most) in numbers.items():
        if number is not None and not 0 < number <= most:
            raise Mismatch(f"{number:g} where a number above 0 and up to {most:g} belongs", f".load.{place}")
    if load.rates == () or len(set(rates)) < len(rates):
        raise Mismatch("a rate is named twice, or none", ".load.rates")
