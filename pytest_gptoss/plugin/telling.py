"""What a run says on the terminal: its header, the devices found, progress, the final table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from pytest_gptoss import __version__
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.plugin.problems import Problems
from pytest_gptoss.report.terminal import named, show_table
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.estimated_time import family_minutes, in_words
from pytest_gptoss.scenarios.devices import ProbedDevice

__all__ = ["Telling", "progress_line"]

MOST_NAMES = 8
"""Nodes of a fleet that a line names."""


def progress_line(config: pytest.Config, text: str) -> None:
    """Write a line past pytest's capture; nothing where there is no terminal reporter."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None:
        return
    if capture is None:
        reporter.ensure_newline()
        reporter.write_line(text)
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(text)


class Telling:
    """The lines of a run's terminal report.

    ``ledger`` says what became of the run there; it is empty where no ledger is named. ``annotations`` are
    lines that GitHub reads, none elsewhere.
    """

    def __init__(self, run: AcceptanceRun, problems: Problems) -> None:
        self._run = run
        self._problems = problems
        self._devices_told = False
        self.ledger = ""
        self.annotations: list[str] = []

    def header(self) -> list[str]:
        """What the run is going to judge."""
        settings = self._run.settings
        profile = self._run.plan.profile.name
        lines = [f"gptoss: {__version__}, profile {profile}, reports in {settings.report}"]
        devices = _named_devices(settings)
        if devices:
            lines.append(f"gptoss: {'; '.join(devices)}")
        if settings.replay is not None:
            lines.append(f"gptoss: replaying {settings.replay}")
        elif devices:
            lines += self._time_needed()
        return lines

    def _time_needed(self) -> list[str]:
        """How long all rows take at the profile's pace; nothing where it has none."""
        run = self._run
        minutes = family_minutes(run.plan, run.roles(run.settings.subjects[0]))
        return (
            [f"gptoss: all rows take at most {in_words(minutes)} at {run.plan.profile.name}'s pace"]
            if minutes
            else []
        )

    def devices_found(self) -> list[str]:
        """Every device as probed, with what it can do."""
        self._devices_told = True
        try:
            probed = self._run.devices.probed()
        except GptossError as error:
            return [f"gptoss: {error}"]
        fleet = self._run.settings.fleet
        told = map(_device_line, probed.values()) if fleet is None else _fleet_lines(probed.values())
        lines = [f"gptoss: {each}" for each in told]
        proxies = ", ".join(self._run.devices.proxies())
        if proxies and self._run.settings.trust_env:
            lines.append(f"gptoss: load connects directly, without the proxy of {proxies}")
        elif proxies:
            lines.append(f"gptoss: proxies of {proxies} are ignored; --gptoss-trust-env uses them")
        return lines

    def write_summary(self, terminal: Any, document: Mapping[str, Json] | None, *, sigterm: bool) -> None:
        """The final table of a report document, and what went wrong; ``sigterm``: that ended the run."""
        if document is not None and document["run"]["selected"]:
            with self._problems.noting("the final table could not be shown"):
                self._show(terminal, document)
            if self._problems.missing is not None:
                terminal.line(self._problems.missing)
            terminal.line(f"reports: {self._run.settings.report}")
        if self.ledger:
            terminal.line(printable(f"ledger: {self.ledger}"))
        for line in self.annotations:
            terminal.line(line)
        if sigterm:
            terminal.line("gptoss: SIGTERM ended the run, as Ctrl-C does", red=True)
        for problem in self._problems.lines:
            terminal.line(printable(f"gptoss: {problem}"), red=True)

    def _show(self, terminal: Any, document: Mapping[str, Json]) -> None:
        # pytest-xdist's controller collects nothing: until here it has not told of the devices.
        if not self._devices_told and self._run.store.load_document("devices") is not None:
            terminal.section("GPT-OSS devices")
            for told in self.devices_found():
                terminal.line(told)
        show_table(terminal, document)


def _named_devices(settings: Settings) -> list[str]:
    """Every device as it was named; the nodes of a fleet together."""
    fleet = settings.fleet
    if fleet is None:
        return [_named_device(each) for each in settings.devices]
    nodes = (
        f"a fleet of {len(fleet.nodes)} nodes, {fleet.nodes[0]} to {fleet.nodes[-1]}: {fleet.canaries} "
        f"canaries in {fleet.repeats} rounds, at most {fleet.in_flight} requests in flight"
    )
    return [nodes, *(_named_device(each) for each in settings.devices if each.role != "npu")]


def _named_device(device: DeviceSettings) -> str:
    """A device as it was named, before anything is known of it."""
    where = "at started here or recorded" if device.url is None else f"at {Endpoint.parse(device.url).root}"
    if device.serve is not None:
        where = f"started here by {device.serve.shown}"
    return printable(f"{device.name} {where}" + (f" ({device.label})" if device.label else ""))


def _device_line(probed: ProbedDevice) -> str:
    if probed.device is None:
        return probed.problem or f"{probed.name} does not answer"
    label = named({"label": probed.device.label, "server_version": probed.device.server_version})
    return printable(f"{probed.name}: {label}, {_found(probed.device)}")


def _fleet_lines(probed: Iterable[ProbedDevice]) -> Iterator[str]:
    """A line for all nodes of which the same was found; each device that does not answer has its own."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in probed:
        if each.device is None:
            yield _device_line(each)
        else:
            found = f"{each.device.server_version or 'unknown version'}, {_found(each.device)}"
            alike.setdefault((each.device.role, found), []).append(each.name)
    for (_, found), names in alike.items():
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        yield printable(f"{', '.join(names[:MOST_NAMES])}{more}: {found}")


def _found(device: Device) -> str:
    """Model, context, and what a device can do."""
    able = device.capabilities
    names = ("chat", "token_ids", "logprobs", "prompt_logprobs", "pooling", "tokenize", "metrics")
    can = [name.replace("_", " ") for name in names if getattr(able, name)]
    lacks = [name.replace("_", " ") for name in names if not getattr(able, name)]
    found = f"{device.model}, context {device.max_model_len}; {', '.join(can)}"
    return f"{found}; lacks {', '.join(lacks)}" if lacks else found
