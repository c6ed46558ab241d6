"""The face to pytest: options, hooks and markers. No logic, and no heavy import at module level.

A plain pytest run in a project that merely has the package installed pays for this file,
``options``, ``keys`` and ``fixtures``: nothing else is imported until a device is named or a test
asks.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gptoss.config.option_values import add_options, read_options
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.model.verdicts import FAMILIES, TIERS
from pytest_gptoss.plugin import fixtures
from pytest_gptoss.plugin.keys import MEASURED_S, NEEDS_RUN, ROW, SESSION

if TYPE_CHECKING:
    from pytest_gptoss.plugin.session import Session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks a project may implement."""
    from pytest_gptoss.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register markers and fixtures; with a device named, check every option before anything runs."""
    for family in FAMILIES:
        config.addinivalue_line("markers", f"{family}: acceptance tests of the family '{family}'")
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: thresholds of the tier '{tier}'")
    config.pluginmanager.register(fixtures, "gptoss-fixtures")
    if _has(config, "asyncio", "pytest_asyncio.plugin"):
        # pytest-asyncio comes with this package: what it says of a scope that is not set must not end a suite
        # that never asked for it, where warnings are errors. The scope itself stays what it was.
        warnings.filterwarnings("ignore", "The configuration option .asyncio_default_fixture_loop_scope.")
        from pytest_gptoss.plugin import async_fixtures

        config.pluginmanager.register(async_fixtures, "gptoss-async-fixtures")
    config.pluginmanager.register(_NothingJudged(), "gptoss-nothing-judged")
    try:
        if read_options(config).texts:
            start_session(config)
    except GptossError as error:
        raise pytest.UsageError(f"gptoss: {error}") from None


def _has(config: pytest.Config, *names: str) -> bool:
    """Whether a plugin is registered, by the name of its entry point or of its module."""
    return any(config.pluginmanager.hasplugin(name) for name in names)


def start_session(config: pytest.Config) -> Session:
    """The one session of this config, made on first use.

    Every mistake of the user is found here, before anything is sent: raises GptossError.
    """
    session = config.stash.get(SESSION, None)
    if session is None:
        from pytest_gptoss.plugin.session import Session

        session = Session.from_config(config)
        config.stash[SESSION] = session
        config.pluginmanager.register(session, "gptoss-session")
    return session


def _is_ours(path: Path) -> bool:
    if path.suffix != ".py" or not path.name.startswith("test_") or path.parent.name != "acceptance":
        return False
    return path.parent.resolve() == acceptance_tests()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """The acceptance tests are collected whatever a project's ``python_files`` say."""
    found = yield
    if not found and _is_ours(file_path):
        return [_AcceptanceTests.from_parent(parent, path=file_path)]
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """The acceptance tests are modules of their own kind."""
    if not _is_ours(module_path):
        return None
    module: pytest.Module = _AcceptanceTests.from_parent(parent, path=module_path)
    return module


class _AcceptanceTests(pytest.Module):
    """A module whose tests are found whatever a project's ``python_functions`` say."""

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each threshold of the test's family and each device under test."""
    if ROW not in metafunc.fixturenames:
        return
    family = next((name for name in FAMILIES if metafunc.definition.get_closest_marker(name)), None)
    if family is None:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: mark it with one of {', '.join(FAMILIES)}")
    try:
        session = start_session(metafunc.config)
    except GptossError as error:
        raise pytest.UsageError(f"gptoss: {error}") from None
    rows = [
        pytest.param((npu, threshold.id), id=f"{npu}-{threshold.id}", marks=_marks(threshold.tier))
        for npu, threshold in session.asking.rows(family)
    ]
    # Without a parameter pytest would report a skipped test: one without a row is taken away below.
    metafunc.parametrize(ROW, rows or [pytest.param(None, id="none")], indirect=True)


def _marks(tier: str) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, tier)] if tier in TIERS else []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among the acceptance tests preflight comes first; a feature that may kill a server comes last.

    pytest-timeout would count what is measured for the whole run against one row, and pytest-socket would
    cut off the device that a test asks for: rows carry no time-out, and what measures has its sockets.
    """
    items[:] = [item for item in items if not _has_no_row(item)]
    if _has(config, "timeout", "pytest_timeout"):
        for item in items:
            if ROW in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.timeout(0), append=False)
    if _has(config, "socket", "pytest_socket"):
        for item in items:
            if NEEDS_RUN in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.enable_socket)
    places = [place for place, item in enumerate(items) if ROW in getattr(item, "fixturenames", ())]
    rows = sorted((items[place] for place in places), key=_turn)
    for place, item in zip(places, rows, strict=True):
        items[place] = item


def _has_no_row(item: pytest.Item) -> bool:
    """Whether it is of a family that this run has no row of, as the fleet's."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get(ROW, ()) is None


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("preflight"):
        return 0
    return 2 if "capability.survival" in item.name else 1


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Version, profile and where the reports go."""
    session = config.stash.get(SESSION, None)
    return session.telling.header() if session is not None and session.active else []


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """The devices, probed only when an acceptance test was selected."""
    session = config.stash.get(SESSION, None)
    if session is None or not session.begun:
        return []
    if not any(ROW in getattr(item, "fixturenames", ()) for item in items):
        return []
    return session.telling.devices_found()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A row's duration is its own: what was measured for the whole run while it waited is not in it."""
    report = yield
    if call.when == "setup":
        report.duration = max(0.0, report.duration - item.stash.get(MEASURED_S, 0.0))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The final table."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.write_summary(terminalreporter)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist, on the controller: start what must be started once, and tell the workers."""
    session = node.config.stash.get(SESSION, None)
    started = {} if session is None else session.start_servers().document()
    node.workerinput["gptoss_started"] = json.dumps(started)


@pytest.hookimpl(optionalhook=True)
def pytest_json_runtest_metadata(item: pytest.Item, call: pytest.CallInfo[None]) -> dict[str, Any]:
    """pytest-json-report: the verdict's facts as the test's metadata."""
    if call.when == "teardown" and ROW in getattr(item, "fixturenames", ()):
        return {"gptoss": dict(item.user_properties)}
    return {}


class _NothingJudged:
    """Turns a run whose acceptance tests were all skipped, and in which no other test ran, into exit 5.

    Without a device, or with every selected row waived or without its condition, nothing was judged:
    that is never green.
    """

    def __init__(self) -> None:
        self._rows_skipped = 0
        self._ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and (report.passed or hasattr(report, "wasxfail"))):
            self._ran += 1
        elif report.when == "setup" and report.skipped:
            judged = any(name == "threshold_id" for name, _ in report.user_properties)
            self._rows_skipped += judged or fixtures.NO_DEVICE in str(report.longrepr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._rows_skipped and not self._ran and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
