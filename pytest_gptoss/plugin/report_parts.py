"""The parts of a run's report document, and the files that are rendered from it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial

import pytest

from pytest_gptoss import __version__
from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.judge.configurations import configuration_matrix
from pytest_gptoss.model.errors import DamagedFile
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import Message, say
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.report.builders.features import configured_features
from pytest_gptoss.report.builders.findings import findings
from pytest_gptoss.report.builders.load_levels import load_levels, load_requests
from pytest_gptoss.report.builders.needle_cells import needle_cells
from pytest_gptoss.report.builders.preflight_findings import preflight_findings
from pytest_gptoss.report.document import changed_limits, device_row, not_judged_row
from pytest_gptoss.report.files import write_report
from pytest_gptoss.report.format import Source
from pytest_gptoss.report.formats import formats
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.servers_seen import servers_seen
from pytest_gptoss.scenarios.devices import ProbedDevice

__all__ = ["device_rows", "facts_of_run", "measurements", "not_judged", "write_formats"]

Rows = list[dict[str, Json]]


def facts_of_run(run: AcceptanceRun, *, started: str, ended: str | None) -> dict[str, Json]:
    """The ``run`` part of the report document; ``ended`` is None while the run goes on."""
    settings, plan = run.settings, run.plan
    return {
        "started": started,
        "ended": ended,
        "versions": {"pytest-gptoss": __version__, "pytest": pytest.__version__,
                     "python": platform.python_version()},
        "profile": plan.profile.name,
        "changed_limits": changed_limits(plan.thresholds.values()),
        "waivers": dict(settings.waivers or {}),
        "info": dict(settings.info.of_run),
        "settings": {"inputs": settings.inputs, "timeout_s": settings.timeout_s, **run.facts()},
        "load": {
            **asdict(settings.load),
            "levels": [asdict(shape) for shape in plan.workload.levels.values()],
        },
        "needle": {**asdict(settings.needle), "grid": settings.needle_grid},
        "prompts_sha256": run.facts()["prompts_sha256"],
        "replay_of": str(settings.replay) if settings.replay is not None else None,
    }  # fmt: skip


def device_rows(run: AcceptanceRun) -> Rows:
    """The ``devices`` part: every device as it was probed, or why it was not."""
    unasked: str = say("not asked: no selected test needed it")
    try:
        found = {each.name: each for each in probed_devices(run.store) or ()}
    except DamagedFile as error:
        found, unasked = {}, str(error)
    rows = []
    for settings in run.settings.devices:
        probed = found.get(settings.name, ProbedDevice(settings.name, problem=unasked))
        problem = probed.problem
        if problem is not None:  # reports name the device beside it
            problem = _without_name(problem, settings.name)
        rows.append(device_row(settings.name, settings.role, settings.url, probed.device, problem))
    return rows


def _without_name(problem: str, name: str) -> str:
    """A device's problem without the device's name before it."""
    told = problem.values.get("error") if isinstance(problem, Message) else None
    without = problem.removeprefix(f"{name}: ")
    return told if isinstance(told, str) and told == without else without


def measurements(
    run: AcceptanceRun, diagnosis: Diagnosis, players: Callable[[str, str], list[str]], rows: Rows
) -> dict[str, Json]:
    """The ``measurements`` part. ``players`` returns the devices that a verdict is about."""
    store, plan, settings = run.store, run.plan, run.settings
    roles = [run.roles(npu) for npu in settings.subjects]
    found = findings(store, roles, rows, info=plan.info_names)
    found["notes"] += [row["details"]["note"] for row in rows if row["details"].get("note")]
    try:
        servers = servers_seen(store, plan, run.roles, rows)
    except DamagedFile as error:
        servers = {"changed": [], "sources": []}
        found["notes"].append(str(error))
    found["notes"] += [each["text"] for each in servers["sources"] if each["sound"]]
    try:
        diagnosed = diagnosis.findings(rows, players)
    except DamagedFile as error:
        diagnosed = []
        found["notes"].append(str(error))
    return {
        **found,
        "servers": servers,
        "preflight": preflight_findings(store, settings),
        "configurations": (
            configuration_matrix(list(settings.subjects), rows) if settings.fleet is None else None
        ),
        "features": configured_features(store, settings, rows),
        "diagnosis": diagnosed,
        "needles": needle_cells(store, _names(run), plan.thresholds.values()),
        "load": load_levels(store, plan, devices=_names(run), task=settings.load),
    }


def not_judged(
    npus: Iterable[str],
    thresholds: Iterable[Threshold],
    open_rows: Container[tuple[str, str]],
    selected: Container[tuple[str, str]],
) -> Rows:
    """The ``not_judged`` part: of each device the thresholds that are in ``open_rows``."""
    table = list(thresholds)
    return [
        not_judged_row(npu, threshold, selected=(npu, threshold.id) in selected)
        for npu in npus
        for threshold in table
        if (npu, threshold.id) in open_rows
    ]


def write_formats(
    run: AcceptanceRun,
    document: Mapping[str, Json],
    noting: Callable[..., AbstractContextManager[None]],
) -> None:
    """Write every report that a run writes; ``noting`` notes what goes wrong with one of them."""
    settings = run.settings
    requests = partial(load_requests, run.store, run.plan, devices=_names(run), task=settings.load)
    source = Source(document, settings.lang, requests)
    # From the last to the first: the page, which takes longest to draw, comes last.
    for each in reversed([each for each in formats() if each.by_run]):
        with noting(f"{each.title} could not be written", file=each.file):
            write_report(settings.report, each, source)


def _names(run: AcceptanceRun) -> list[str]:
    return [device.name for device in run.settings.devices]
