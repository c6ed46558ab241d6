"""Servers for the project's own tests: started once where they can be shared, always stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from pytest_gptoss.embedded import PINNED_DATE, ServerProcess, start_pair, start_reference


@pytest.fixture(scope="session")
def embedded_pair() -> Iterator[Mapping[str, str]]:
    """The embedded pair's URLs: bfloat16 as ``npu``, float32 as ``gpu``, one pinned date."""
    servers = start_pair()
    try:
        yield {name: server.url for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()


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
