"""Servers for the project's own tests: started once where they can be shared, always stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import pytest

from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.scenarios.truth import TruthServer, truth_server
from pytest_gptoss.servers.embedded import PINNED_DATE, start_pair, start_reference
from pytest_gptoss.servers.process import ServerProcess


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Tell hypothesis to time nothing: a property holds or not, however busy the machine is.

    Only before a module of our own tests: its import takes longer than the acceptance takes to start.
    """
    plugins = collector.config.pluginmanager
    own = isinstance(collector, pytest.Module) and acceptance_tests() not in collector.path.parents
    if own and plugins.hasplugin("hypothesispytest"):
        _time_no_property()


@cache
def _time_no_property() -> None:
    from hypothesis import HealthCheck, settings

    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


@pytest.fixture(scope="session")
def embedded_pair() -> Iterator[Mapping[str, str]]:
    """The embedded pair's URLs: bfloat16 as ``npu``, float32 as ``gpu``, one pinned date."""
    servers = start_pair()
    try:
        yield {name: server.url for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture(scope="session")
def truth() -> Iterator[TruthServer]:
    """A ground-truth server; scripts come with the requests, stamps are told apart by their ids."""
    with truth_server() as server:
        yield server


@pytest.fixture
def reference_server() -> Iterator[Callable[..., ServerProcess]]:
    """Start reference servers with arguments of the test's own; they end with the test."""
    servers: list[ServerProcess] = []

    def start(
        *arguments: str,
        model: str = "tiny",
        dtype: str = "float32",
        defect: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ServerProcess:
        pinned = {"VLLM_SYSTEM_START_DATE": PINNED_DATE, **(environment or {})}
        servers.append(start_reference(model, dtype, defect=defect, environment=pinned, arguments=arguments))
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.stop()
