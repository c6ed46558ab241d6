"""A pytest session that accepts devices: it ties the run to pytest's life and writes the reports.

Under pytest-xdist every worker has a session that measures and judges into the shared store; the
controller's session begins the run, starts servers and writes the reports at the end.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gptoss import __version__
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.config.option_values import check_options, read_options
from pytest_gptoss.config.plan import Extensions, make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings, settings_from
from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.judge.conditions import FIRST
from pytest_gptoss.judge.verdicts import line
from pytest_gptoss.model.errors import GptossError, MeasurementError, MissingExtra, UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.model.verdicts import FAMILIES, Threshold, Verdict
from pytest_gptoss.plugin.keys import MEASURED_S, NEEDS_RUN, ROW
from pytest_gptoss.plugin.reporting import device_rows, facts_of_run, measurements, not_judged, write_formats
from pytest_gptoss.report.document import (
    State,
    acceptance_document,
    finite,
    verdict_row,
)
from pytest_gptoss.report.files import forget_reports, write_document
from pytest_gptoss.report.formats.junit import properties, suite_properties
from pytest_gptoss.report.schema import faults
from pytest_gptoss.report.terminal import named, show_table
from pytest_gptoss.run.baseline import recorded_models
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed
from pytest_gptoss.run.termination import Termination
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.servers.started import Started

if TYPE_CHECKING:
    import httpx

__all__ = ["Session"]

_LOOKS = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")
"""pytest's options that show tests or fixtures and run none."""
SELECTED = "selected"
"""The store's document with the rows that were asked for."""
_WORKERS_END_S = 3.0
"""How long pytest-xdist's workers may take to end on SIGTERM: what they have measured is kept by then."""


class Session:
    """One pytest process's part in an acceptance run."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        started = None if self._worker is None else Started(**json.loads(self._worker["gptoss_started"]))
        self.run = AcceptanceRun(
            settings, make_plan(settings, self._extend), tell=self._tell, started=started
        )
        self._diagnosis = Diagnosis(settings, self.run.store, load_signatures(settings.signatures))
        self.active = settings.active
        self._started = _now()
        self.begun = False
        self._document: dict[str, Json] | None = None
        self._selected: dict[tuple[str, str], None] = {}
        self._problems: list[str] = []
        self._devices_told = False
        self._missing: str | None = None
        self._termination = Termination()
        self._interrupted_at_start = False
        self._ended = False

    @classmethod
    def from_config(cls, config: pytest.Config) -> Session:
        """Read and check every option; raises UsageError before anything is sent."""
        options = check_options(read_options(config), base=config.invocation_params.dir)
        settings = settings_from(options, recorded=recorded_models(options.value("baseline")))
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
        looks = any(self._config.getoption(option, False) for option in _LOOKS)
        return self.active and self._worker is None and not looks

    def pytest_sessionstart(self) -> None:
        """pytest-xdist's controller collects nothing: it begins the run before its workers are there."""
        if self._config.pluginmanager.hasplugin("dsession"):
            self.begin()

    def begin(self) -> None:
        """The first act of a run: the old report is gone, the new one says that it is running."""
        if self.begun or not self._leads:
            return
        self._termination.install()
        try:
            self.run.begin()
            self._diagnosis.begin()
            self.run.store.save_document(SELECTED, [])
            forget_reports(self.run.settings.report)
            write_document(
                self.run.settings.report, acceptance_document(state="running", run=self._facts(None))
            )
        except GptossError as error:
            raise pytest.UsageError(f"gptoss: {error}") from None
        self.begun = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the rows this process was asked for, in their order; begin the run if a test needs it."""
        rows = [row for row in map(_row_of, session.items) if row is not None]
        self._selected = dict.fromkeys(rows)
        self.run.expect(rows)
        self.run.selected = frozenset(rows) if rows else None
        if any(NEEDS_RUN in getattr(item, "fixturenames", ()) for item in session.items):
            self.begin()
        if self._worker is not None and self.active:
            self._termination.install()
            # The controller collects nothing, and hears no more of its workers once it was interrupted.
            with contextlib.suppress(GptossError):
                self.run.store.save_document(SELECTED, rows)

    def start_servers(self) -> Started:
        """Start the servers of this run; pytest-xdist's controller does so before its workers."""
        if not self._leads or self._interrupted_at_start:
            return Started()
        try:
            return self.run.servers.started()
        except KeyboardInterrupt:
            # pytest-xdist starts its workers before pytest's session has begun, and an interruption there
            # would end without any report: it goes on at the collection.
            self._interrupted_at_start = True
            return Started()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """An interruption while servers were started goes on here, where reports follow."""
        if self._interrupted_at_start:
            raise KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """The run is interrupted: nothing shall interrupt its reports."""
        self._termination.let_end()
        if self._termination.came:
            # pytest reads every source file on the way, which takes seconds that a CI runner may not give.
            excinfo.traceback = excinfo.traceback[-1:]
            excinfo.value.__suppress_context__ = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, object, object]:
        """Write every report, however the run has ended: before JUnit's and pytest-json-report's files.

        A wrapper, because pytest-json-report asks to be first too, and the later registered one is.
        """
        self._termination.let_end()
        if self.begun:
            self._end(_state(session, exitstatus))
            if self._problems and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def _end(self, state: State) -> None:
        """Write the reports, stop what was started, and leave the report directory to others."""
        self._ended = True
        try:
            if state == "interrupted":
                with self._noting("pytest-xdist's workers could not be ended"):
                    self._end_workers()
            with self._noting("the reports could not be written"):
                self._conclude(state)
        finally:
            self.run.close()

    @contextlib.contextmanager
    def _noting(self, what: str, *, file: str = "") -> Iterator[None]:
        """Note what goes wrong, whatever it is: one report's fault costs neither the others nor JUnit's.

        ``file`` is the report that is being written, if any.
        """
        try:
            yield
        except MissingExtra as error:
            self._missing = f"no {file}: {error}"
        except (GptossError, OSError) as error:
            self._problems.append(f"{what}: {error}")
        except Exception as error:
            self._problems.append(f"{what}: {type(error).__name__}: {error}")

    def _end_workers(self) -> None:
        """pytest-xdist, after Ctrl-C: nobody measures any more when what was measured is judged."""
        controller = self._config.pluginmanager.get_plugin("dsession")
        if controller is None:
            return
        if self._termination.came:
            _terminate_workers(controller)
        controller.pytest_sessionfinish()

    def pytest_unconfigure(self) -> None:
        """Stop what was started, and say that the run was interrupted when its session never began."""
        if self.begun and not self._ended:
            self._end("interrupted")
        self.run.close()
        self._termination.restore()

    # -- asking -------------------------------------------------------------------------------

    def rows(self, family: str) -> list[tuple[str, Threshold]]:
        """(npu, threshold) of every row of a family, one device after the other."""
        npus = self.run.settings.npus or ("npu",)
        plan = self.run.plan
        table_rows = [row for row in plan.thresholds.values() if row.family == family]
        others = [row for row in table_rows if plan.metrics[row.metric].condition is not FIRST]
        return [(npu, row) for npu in npus for row in (others if npu == npus[0] else table_rows)]

    def name_of(self, role: str) -> str | None:
        """Name of the first device in a role."""
        return next((each.name for each in self.run.settings.devices if each.role == role), None)

    def live_devices(self) -> dict[str, Device]:
        """Every device that answers, by name."""
        return {name: each.device for name, each in self.run.probed().items() if each.device is not None}

    def verdict(self, npu: str | None, threshold_id: str) -> Verdict:
        """A threshold's verdict on a device (default: the first under test)."""
        npus = self.run.settings.npus
        if not npus:
            raise MeasurementError("no device under test: add --npu-url URL")
        name = npu or npus[0]
        if name not in npus:
            raise UsageError(f"no device under test is called {name!r}; there are: {', '.join(npus)}")
        if threshold_id not in self.run.plan.thresholds:
            known = ", ".join(self.run.plan.thresholds)
            raise UsageError(f"no threshold is called {threshold_id!r}; there are: {known}")
        return self.run.verdict(name, threshold_id)

    def judge_row(self, npu: str, threshold_id: str, item: pytest.Item) -> Verdict:
        """Judge one row, keep the verdict, and hang its facts on the test for JUnit and others."""
        before = self.run.measured_s
        verdict = self.run.verdict(npu, threshold_id)
        item.stash[MEASURED_S] = self.run.measured_s - before
        item.user_properties.extend(properties(self._keep(verdict)))
        return verdict

    def _keep(self, verdict: Verdict) -> dict[str, Json]:
        """Keep a verdict for the reports; returns its row."""
        device = self._devices_or_none().get(verdict.npu)
        row = verdict_row(
            verdict,
            devices=self._players(verdict),
            model=device.model if device else None,
            profile=self.run.plan.profile.name,
        )
        self.run.store.save_verdict(verdict.npu, verdict.threshold.id, row)
        return row

    def explain(self, verdict: Verdict) -> str:
        """A verdict in one line, with the devices that played; what their logs say of it stands below."""
        if verdict.status == "WAIVED":
            return f"WAIVED: {verdict.reason}"
        said = line(verdict, self._players(verdict))
        if verdict.status not in ("FAIL", "INVALID") or "blocked_by" in verdict.details:
            return said
        threshold_id = verdict.threshold.id
        beside = self._diagnosis.beside(threshold_id, self._player_names(verdict.npu, threshold_id))
        return "\n".join([said, *beside])

    def http_client(self, device: Device) -> httpx.AsyncClient:
        """An httpx client for a project's own requests to a device."""
        return self.run.access().http_client(device.role, self.run.url(device.name))

    def _player_names(self, npu: str, threshold_id: str) -> list[str]:
        """The devices a verdict is about, whether they answer or not."""
        metric = self.run.plan.metrics[self.run.plan.thresholds[threshold_id].metric]
        roles = self.run.roles(npu)
        others = () if metric.condition is None else metric.condition.others(roles)
        names = (npu, roles.gpu if metric.baseline else None, *others)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _players(self, verdict: Verdict) -> dict[str, Device]:
        """The devices a verdict is about, as far as they answer."""
        found = self._devices_or_none()
        names = self._player_names(verdict.npu, verdict.threshold.id)
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
        devices = [_named_device(each) for each in settings.devices]
        if devices:
            lines.append(f"gptoss: {'; '.join(devices)}")
        if settings.replay is not None:
            lines.append(f"gptoss: replaying {settings.replay}")
        return lines

    def devices_found(self) -> list[str]:
        """Every device as probed, with what it can do."""
        self._devices_told = True
        try:
            probed = self.run.probed()
        except GptossError as error:
            return [f"gptoss: {error}"]
        lines = [f"gptoss: {_device_line(each)}" for each in probed.values()]
        proxies = ", ".join(self.run.proxies())
        if proxies and self.run.settings.trust_env:
            lines.append(f"gptoss: load connects directly, without the proxy of {proxies}")
        elif proxies:
            lines.append(f"gptoss: proxies of {proxies} are ignored; --gptoss-trust-env uses them")
        return lines

    def write_summary(self, terminal: Any) -> None:
        """The final table."""
        document = self._document
        if document is not None and document["run"]["selected"]:
            with self._noting("the final table could not be shown"):
                # pytest-xdist's controller collects nothing: until here it has not told of the devices.
                if not self._devices_told and self.run.store.load_document("devices") is not None:
                    terminal.section("GPT-OSS devices")
                    for told in self.devices_found():
                        terminal.line(told)
                show_table(terminal, document)
            if self._missing is not None:
                terminal.line(self._missing)
            terminal.line(f"reports: {self.run.settings.report}")
        if self._termination.came:
            terminal.line("gptoss: SIGTERM ended the run, as Ctrl-C does", red=True)
        for problem in self._problems:
            terminal.line(printable(f"gptoss: {problem}"), red=True)

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
        selected = self._asked_for()
        if state == "interrupted":
            judged = {(row["npu"], row["threshold_id"]) for row in self._verdict_rows()}
            for verdict in self.run.judge_finished_levels([row for row in selected if row not in judged]):
                self._keep(verdict)
        recorded = self.run.record()
        rows = self._verdict_rows()
        npus, order = list(self.run.settings.npus), list(self.run.plan.thresholds)
        rows.sort(key=lambda row: (npus.index(row["npu"]), order.index(row["threshold_id"])))
        document = acceptance_document(
            state=state,
            run={**self._facts(_now()), "recorded": list(recorded)},
            devices=device_rows(self.run),
            verdicts=rows,
            selected=max(len(selected), len(rows)),
            measurements=measurements(self.run, self._diagnosis, self._player_names, rows),
            not_judged=self._not_judged(rows, selected),
        )
        with self._noting("a pytest_gptoss_report hook failed"):
            self._config.hook.pytest_gptoss_report(config=self._config, document=document)
        self._document = finite(document)
        with self._noting("JUnit's suite properties could not be added"):
            self._add_suite_properties(self._document)
        self._write(self._document)

    def _asked_for(self) -> Mapping[tuple[str, str], None]:
        """The rows that were selected, here or by pytest-xdist's workers."""
        if self._selected:
            return self._selected
        return dict.fromkeys(self.run.store.load_document(SELECTED, tuple[tuple[str, str], ...]) or ())

    def _verdict_rows(self) -> list[dict[str, Json]]:
        return [row for row in self.run.store.verdicts() if row is not None]

    def _facts(self, ended: str | None) -> dict[str, Json]:
        return facts_of_run(self.run, started=self._started, ended=ended)

    def _not_judged(
        self, rows: Iterable[Mapping[str, Json]], selected: Container[tuple[str, str]]
    ) -> list[dict[str, Json]]:
        judged = {(row["npu"], row["threshold_id"]) for row in rows}
        to_be_had = {(npu, row.id) for family in FAMILIES for npu, row in self.rows(family)}
        plan = self.run.plan
        return not_judged(self.run.settings.npus, plan.thresholds.values(), to_be_had - judged, selected)

    def _write(self, document: Mapping[str, Json]) -> None:
        write_document(self.run.settings.report, document)
        wrong = faults(document)
        if wrong:  # a hook's doing, or a fault of ours; who reads the file must know
            self._problems.append(f"acceptance.json does not keep its schema: {'; '.join(wrong)}")
        write_formats(self.run, document, self._noting)

    def _add_suite_properties(self, document: Mapping[str, Json]) -> None:
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is None:
            return
        for name, value in suite_properties(document):
            xml.add_global_property(name, value)

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """pytest-json-report: the run's facts beside its own environment."""
        if self._document is not None:
            json_report["gptoss"] = {"run": self._document["run"], "devices": self._document["devices"]}


def _named_device(device: DeviceSettings) -> str:
    """A device as it was named, before anything is known of it."""
    where = "started here or recorded" if device.url is None else Endpoint.parse(device.url).root
    return printable(f"{device.name} at {where}" + (f" ({device.label})" if device.label else ""))


def _row_of(item: pytest.Item) -> tuple[str, str] | None:
    """(npu, threshold id) of a test that is a row; None for other tests."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    row: tuple[str, str] | None = params.get(ROW)
    return row


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
    return printable(f"{found}; lacks {', '.join(lacks)}" if lacks else found)


def _terminate_workers(controller: Any) -> None:
    """Pass SIGTERM on to pytest-xdist's workers on this machine: told by xdist alone they measure on for 5 s.

    They keep what they have measured first of all; those that do not end soon afterwards are killed.
    """
    gateways = getattr(controller.nodemanager, "group", ())
    found = (getattr(getattr(gateway, "_io", None), "popen", None) for gateway in gateways)
    processes = [process for process in found if process is not None]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _WORKERS_END_S
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def _state(session: pytest.Session, exitstatus: int) -> State:
    early = session.shouldstop or session.shouldfail
    ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    return "finished" if exitstatus in ended and not early else "interrupted"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
