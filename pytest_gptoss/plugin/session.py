"""A pytest session that accepts devices: it ties the run to pytest's life.

Under pytest-xdist every worker has a session that measures and judges into the shared store; the
controller's session begins the run, starts servers and writes the reports at the end.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_gptoss.config.fleet_file import nodes_of_fleet
from pytest_gptoss.config.option_values import check_options, read_options
from pytest_gptoss.config.plan import Extensions, make_plan
from pytest_gptoss.config.settings import Settings, settings_from
from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.judge.trend import Past
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.plugin.asking import Asking
from pytest_gptoss.plugin.github_summary import tell_github
from pytest_gptoss.plugin.keys import NEEDS_RUN
from pytest_gptoss.plugin.ledger_line import kept_in_ledger
from pytest_gptoss.plugin.past_runs import past_runs
from pytest_gptoss.plugin.problems import Problems
from pytest_gptoss.plugin.reporting import Reporting
from pytest_gptoss.plugin.selected_rows import SelectedRows, row_of
from pytest_gptoss.plugin.telling import Telling, progress_line
from pytest_gptoss.plugin.workers import end_workers, has_workers
from pytest_gptoss.report.document import State
from pytest_gptoss.run.baseline import recorded_models
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed
from pytest_gptoss.run.termination import Termination
from pytest_gptoss.run.trace import level_of_trace
from pytest_gptoss.servers.started import Started

__all__ = ["Session"]

_LOOKS = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")
"""pytest's options that show tests or fixtures and run none."""


class Session:
    """One pytest process's part in an acceptance run: when it begins, is interrupted, and ends.

    ``asking`` answers tests, ``telling`` has the terminal's lines, ``reporting`` the reports.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        started = None if self._worker is None else Started(**json.loads(self._worker["gptoss_started"]))
        plan = make_plan(settings, partial(_extend, config))
        self.run = AcceptanceRun(
            settings, plan, tell=partial(progress_line, config), started=started, past=self._past
        )
        diagnosis = Diagnosis(settings, self.run.store, load_signatures(settings.signatures))
        self.active = settings.active
        self.begun = False
        self.problems = Problems()
        self.asking = Asking(self.run, diagnosis)
        self.telling = Telling(self.run, self.problems)
        self._selected = SelectedRows(self.run.store)
        self.reporting = Reporting(
            config,
            self.run,
            asking=self.asking,
            diagnosis=diagnosis,
            selected=self._selected,
            problems=self.problems,
        )
        self._termination = Termination()
        self._interrupted_at_start = False
        self._ended = False

    def _past(self, npu: str, row: str) -> list[Past]:
        return past_runs(self.run, npu, row)

    @classmethod
    def from_config(cls, config: pytest.Config) -> Session:
        """Read and check every option; raises UsageError before anything is sent."""
        options = check_options(read_options(config), base=config.invocation_params.dir)
        settings = settings_from(
            options,
            recorded=recorded_models(options.value("baseline")),
            trace=level_of_trace(options),
            nodes=nodes_of_fleet(options),
        )
        return cls(config, replayed(settings))

    @property
    def _leads(self) -> bool:
        """Whether this process begins and ends the run: not a worker, not a mere look at the tests."""
        looks = any(self._config.getoption(option, False) for option in _LOOKS)
        return self.active and self._worker is None and not looks

    # -- beginning ----------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        """pytest-xdist's controller collects nothing: it begins the run before its workers are there."""
        if has_workers(self._config):
            self.begin()

    def begin(self) -> None:
        """The first act of a run: the old report is gone, the new one says that it is running."""
        if self.begun or not self._leads:
            return
        self._termination.install()
        try:
            self.run.begin()
            self.reporting.begin()
        except GptossError as error:
            raise pytest.UsageError(f"gptoss: {error}") from None
        self.begun = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the rows this process was asked for, in their order; begin the run if a test needs it."""
        rows = [row for row in map(row_of, session.items) if row is not None]
        self._selected.note(rows)
        self.run.expect(rows)
        if any(NEEDS_RUN in getattr(item, "fixturenames", ()) for item in session.items):
            self.begin()
        if self._worker is not None and self.active:
            self._termination.install()
            # The controller collects nothing, and hears no more of its workers once it was interrupted.
            with contextlib.suppress(GptossError):
                self._selected.tell_controller()

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

    # -- ending -------------------------------------------------------------------------------

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
            if self.problems.lines and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def _end(self, state: State) -> None:
        """Write the reports, stop what was started, and leave the report directory to others."""
        self._ended = True
        try:
            if state == "interrupted":
                with self.problems.noting("pytest-xdist's workers could not be ended"):
                    end_workers(self._config, terminate=self._termination.came)
            with self.problems.noting("the reports could not be written"):
                self.reporting.conclude(state)
                self.telling.ledger = kept_in_ledger(self.run.settings)
            with self.problems.noting("GitHub's summary could not be written"):
                self.telling.annotations = tell_github(self.reporting.document, self.run.settings.lang)
        finally:
            self.run.close()

    def write_summary(self, terminal: Any) -> None:
        """The final table, and what went wrong."""
        self.telling.write_summary(terminal, self.reporting.document, sigterm=self._termination.came)

    def pytest_unconfigure(self) -> None:
        """Stop what was started, and say that the run was interrupted when its session never began."""
        if self.begun and not self._ended:
            self._end("interrupted")
        self.run.close()
        self._termination.restore()

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """pytest-json-report: the run's facts beside its own environment."""
        document = self.reporting.document
        if document is not None:
            json_report["gptoss"] = {"run": document["run"], "devices": document["devices"]}


def _extend(config: pytest.Config, extensions: Extensions) -> None:
    """Let the project's hooks add to the plan."""
    for added in config.hook.pytest_gptoss_prompt_sets(config=config):
        for name, path in added.items():
            extensions.prompt_sets[name] = config.rootpath / Path(path)
    config.hook.pytest_gptoss_thresholds(thresholds=extensions.thresholds, metrics=extensions.metrics)


def _state(session: pytest.Session, exitstatus: int) -> State:
    early = session.shouldstop or session.shouldfail
    ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    return "finished" if exitstatus in ended and not early else "interrupted"
