"""A pytest session that accepts devices: it ties the run to pytest's life and writes the reports.

Under pytest-xdist every worker has a session that measures and judges into the shared store; the
controller's session begins the run, starts servers and writes the reports at the end.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gptoss import __version__
from pytest_gptoss.errors import GptossError, MeasurementError, UsageError
from pytest_gptoss.findings import findings
from pytest_gptoss.judge.verdicts import line
from pytest_gptoss.measure.devices import ProbedDevice
from pytest_gptoss.measure.store import write_json
from pytest_gptoss.needle_cells import needle_cells
from pytest_gptoss.options import read_options
from pytest_gptoss.plan import Extensions, make_plan
from pytest_gptoss.records import Device, Json, Threshold, Verdict
from pytest_gptoss.replay import replayed
from pytest_gptoss.report.document import State, acceptance_document, device_row, verdict_row
from pytest_gptoss.report.junit import properties
from pytest_gptoss.report.long_context import long_context_report
from pytest_gptoss.report.precision import precision_report
from pytest_gptoss.report.terminal import named, table
from pytest_gptoss.run import AcceptanceRun
from pytest_gptoss.settings import Settings, settings_from

if TYPE_CHECKING:
    import httpx

__all__ = ["Session"]


class Session:
    """One pytest process's part in an acceptance run."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        urls = None if self._worker is None else json.loads(self._worker.get("gptoss_urls", "{}"))
        self.run = AcceptanceRun(
            settings, make_plan(settings, self._extend), tell=self._tell, urls=urls or None
        )
        self.active = settings.active
        self._started = _now()
        self._document: dict[str, Json] | None = None
        self._selected = 0
        self._problem: str | None = None

    @classmethod
    def from_config(cls, config: pytest.Config) -> Session:
        """Read and check every option; raises UsageError before anything is sent."""
        settings = settings_from(read_options(config), base=config.invocation_params.dir)
        return cls(config, replayed(settings))

    def _extend(self, extensions: Extensions) -> None:
        hook = self._config.hook
        for added in hook.pytest_gptoss_prompt_sets(config=self._config):
            for name, path in added.items():
                extensions.prompt_sets[name] = self._config.rootpath / Path(path)
        hook.pytest_gptoss_thresholds(thresholds=extensions.thresholds, metrics=extensions.metrics)

    # -- the run's life -----------------------------------------------------------------------

    @property
    def _leads(self) -> bool:
        """Whether this process begins and ends the run: not a worker, not a mere look at the tests."""
        return self.active and self._worker is None and not self._config.getoption("collectonly")

    def pytest_sessionstart(self) -> None:
        """The first act of a run: the old report is gone, the new one says that it is running."""
        if not self._leads:
            return
        try:
            self.run.begin()
            self._write("acceptance.json", acceptance_document(state="running", run=self._facts(None)))
        except GptossError as error:
            raise pytest.UsageError(f"gptoss: {error}") from None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the rows this process was asked for."""
        self._selected = sum("threshold_row" in getattr(item, "fixturenames", ()) for item in session.items)

    def start_servers(self) -> Mapping[str, str]:
        """Device name -> URL of the servers this run starts (pytest-xdist: on the controller)."""
        if not self._leads:
            return {}
        try:
            return self.run.servers.urls()
        except GptossError as error:
            raise pytest.UsageError(f"gptoss: {error}") from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write every report, before JUnit's file is written, however the run has ended."""
        if not self._leads:
            if self._worker is not None:
                self._config.workeroutput["gptoss_selected"] = self._selected  # type: ignore[attr-defined]
            return
        try:
            self._conclude(_state(session, exitstatus))
        except (GptossError, OSError) as error:
            self._problem = f"the reports could not be written: {error}"
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        finally:
            self.run.close()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist, on the controller: every worker has collected the same rows."""
        self._selected = max(self._selected, getattr(node, "workeroutput", {}).get("gptoss_selected", 0))

    def pytest_unconfigure(self) -> None:
        """Stop what was started, also when the session never came to its end."""
        self.run.close()

    # -- asking -------------------------------------------------------------------------------

    def rows(self, family: str) -> list[tuple[str, Threshold]]:
        """(npu, threshold) of every row of a family, one device after the other."""
        npus = self.run.settings.npus or ("npu",)
        table_rows = [row for row in self.run.plan.thresholds.values() if row.family == family]
        return [(npu, row) for npu in npus for row in table_rows]

    def name_of(self, role: str) -> str | None:
        """Name of the first device in a role."""
        return next((each.name for each in self.run.settings.devices if each.role == role), None)

    def live_devices(self) -> dict[str, Device]:
        """Every device that answers, by name."""
        return {name: each.device for name, each in self.run.probed().items() if each.device is not None}

    def verdict(self, npu: str | None, threshold_id: str) -> Verdict:
        """A threshold's verdict on a device (default: the first under test)."""
        name = npu or self.name_of("npu")
        if name is None:
            raise MeasurementError("no device under test: add --npu-url URL")
        if threshold_id not in self.run.plan.thresholds:
            known = ", ".join(self.run.plan.thresholds)
            raise UsageError(f"no threshold is called {threshold_id!r}; there are: {known}")
        return self.run.verdict(name, threshold_id)

    def judge_row(self, npu: str, threshold_id: str, item: pytest.Item) -> Verdict:
        """Judge one row, keep the verdict, and hang its facts on the test for JUnit and others."""
        verdict = self.run.verdict(npu, threshold_id)
        device = self._devices_or_none().get(npu)
        row = verdict_row(
            verdict,
            devices=self._players(verdict),
            model=device.model if device else None,
            profile=self.run.plan.profile.name,
        )
        item.user_properties.extend(properties(row))
        self.run.store.save_verdict(npu, threshold_id, row)
        return verdict

    def explain(self, verdict: Verdict) -> str:
        """A verdict in one line, with the devices that played."""
        if verdict.status == "WAIVED":
            return f"WAIVED: {verdict.reason}"
        return line(verdict, self._players(verdict))

    def http_client(self, device: Device) -> httpx.AsyncClient:
        """An httpx client for a project's own requests to a device."""
        return self.run.access().http_client(device.role, self.run.url(device.name))

    def _players(self, verdict: Verdict) -> dict[str, Device]:
        """The devices a verdict is about, as far as they answer."""
        metric = self.run.plan.metrics[verdict.threshold.metric]
        names = [verdict.npu, "gpu"] if metric.baseline else [verdict.npu]
        found = self._devices_or_none()
        return {name: found[name] for name in names if name in found}

    def _devices_or_none(self) -> dict[str, Device]:
        try:
            return self.live_devices()
        except GptossError:
            return {}

    # -- telling ------------------------------------------------------------------------------

    def header(self) -> list[str]:
        """What the run is going to judge."""
        settings = self.run.settings
        lines = [f"gptoss: {__version__}, profile {self.run.plan.profile.name}, reports in {settings.report}"]
        if settings.replay is not None:
            lines.append(f"gptoss: replaying {settings.replay}")
        return lines

    def devices_found(self) -> list[str]:
        """Every device as probed, with what it can do."""
        try:
            probed = self.run.probed()
        except GptossError as error:
            return [f"gptoss: {error}"]
        lines = [f"gptoss: {_device_line(each)}" for each in probed.values()]
        ignored = self.run.ignored_proxies()
        if ignored:
            lines.append(f"gptoss: proxies of {', '.join(ignored)} are ignored; --gptoss-trust-env uses them")
        return lines

    def write_summary(self, terminal: Any) -> None:
        """The final table."""
        if self._problem is not None:
            terminal.section("GPT-OSS acceptance", red=True)
            terminal.line(self._problem)
        document = self._document
        if document is None or not document["verdicts"]:
            return
        terminal.section("GPT-OSS acceptance")
        for each in table(document):
            markup = {name: True for name in (each.colour, "bold" if each.bold else None) if name}
            terminal.line(each.text, **markup)
        terminal.line(f"reports: {self.run.settings.report}")

    def _tell(self, text: str) -> None:
        """A progress line past pytest's capture; silent where there is no terminal reporter."""
        manager = self._config.pluginmanager
        reporter = manager.get_plugin("terminalreporter")
        capture = manager.get_plugin("capturemanager")
        if reporter is None:
            return
        if capture is None:
            reporter.ensure_newline()
            reporter.write_line(text)
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(text)

    # -- reports ------------------------------------------------------------------------------

    def _conclude(self, state: State) -> None:
        recorded = self.run.record()
        rows = [row for row in self.run.store.verdicts() if row is not None]
        npus, order = list(self.run.settings.npus), list(self.run.plan.thresholds)
        rows.sort(key=lambda row: (npus.index(row["npu"]), order.index(row["threshold_id"])))
        document = acceptance_document(
            state=state,
            run={**self._facts(_now()), "recorded": list(recorded)},
            devices=self._device_rows(),
            verdicts=rows,
            selected=max(self._selected, len(rows)),
            measurements={
                **findings(self.run.store, [self.run.roles(npu) for npu in self.run.settings.npus], rows),
                "needles": needle_cells(
                    self.run.store,
                    [device.name for device in self.run.settings.devices],
                    self.run.plan.thresholds.values(),
                ),
            },
        )
        self._config.hook.pytest_gptoss_report(config=self._config, document=document)
        self._document = document
        self._write("acceptance.json", document)
        self._write("precision_report.json", precision_report(document))
        self._write("long_context_report.json", long_context_report(document))
        self._add_suite_properties(document)

    def _facts(self, ended: str | None) -> dict[str, Json]:
        settings, plan = self.run.settings, self.run.plan
        changed = {
            row.id: {"from": row.changed_from, "to": row.limit}
            for row in plan.thresholds.values()
            if row.changed_from is not None
        }
        return {
            "started": self._started,
            "ended": ended,
            "versions": {"pytest-gptoss": __version__, "pytest": pytest.__version__,
                         "python": platform.python_version()},
            "profile": plan.profile.name,
            "changed_limits": changed,
            "waivers": dict(settings.waivers or {}),
            "settings": {"inputs": settings.inputs, "timeout_s": settings.timeout_s, **plan.workload.facts()},
            "needle": {**asdict(settings.needle), "grid": settings.needle_grid},
            "prompts_sha256": plan.workload.prompt_sets["precision"].sha256,
            "replay_of": str(settings.replay) if settings.replay is not None else None,
        }  # fmt: skip

    def _device_rows(self) -> list[dict[str, Json]]:
        document = self.run.store.load_document("devices")
        found = {each["name"]: each for each in document or ()}
        rows = []
        for settings in self.run.settings.devices:
            each = found.get(settings.name)
            probed = ProbedDevice.from_document(each) if each else ProbedDevice(settings.name)
            problem = probed.problem if each else "not asked: no selected test needed it"
            rows.append(device_row(settings.name, settings.role, settings.url, probed.device, problem))
        return rows

    def _add_suite_properties(self, document: Mapping[str, Json]) -> None:
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is None:
            return
        run = document["run"]
        xml.add_global_property("gptoss_verdict", run["verdict"])
        xml.add_global_property("gptoss_profile", run["profile"])
        xml.add_global_property("gptoss_version", __version__)
        xml.add_global_property("gptoss_prompts_sha256", run["prompts_sha256"])
        for device in document["devices"]:
            for fact in ("label", "model", "server_version"):
                if device[fact] is not None:
                    xml.add_global_property(f"gptoss_{device['name']}_{fact}", device[fact])

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """pytest-json-report: the run's facts beside its own environment."""
        if self._document is not None:
            json_report["gptoss"] = {"run": self._document["run"], "devices": self._document["devices"]}

    def _write(self, name: str, document: Mapping[str, Json]) -> None:
        directory = self.run.settings.report
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_json(directory / name, document)
        except OSError as error:
            raise UsageError(
                f"{directory}: {error.strerror or error}; reports need a directory that can be written: "
                "name one with --gptoss-report DIR"
            ) from error


def _device_line(probed: ProbedDevice) -> str:
    if probed.device is None:
        return probed.problem or f"{probed.name} does not answer"
    device = probed.device
    able = device.capabilities
    names = ("chat", "token_ids", "logprobs", "prompt_logprobs", "pooling", "tokenize", "metrics")
    can = [name.replace("_", " ") for name in names if getattr(able, name)]
    lacks = [name.replace("_", " ") for name in names if not getattr(able, name)]
    label = named({"label": device.label, "server_version": device.server_version})
    found = f"{device.name}: {label}, {device.model}, context {device.max_model_len}; {', '.join(can)}"
    return f"{found}; lacks {', '.join(lacks)}" if lacks else found


def _state(session: pytest.Session, exitstatus: int) -> State:
    early = session.shouldstop or session.shouldfail
    ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    return "finished" if exitstatus in ended and not early else "interrupted"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
