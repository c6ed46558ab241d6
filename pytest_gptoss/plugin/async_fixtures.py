"""Fixtures for async tests: registered only where pytest-asyncio is, which alone can carry them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    import httpx

    from pytest_gptoss.model.subjects import Device
    from pytest_gptoss.plugin.session import Session


@pytest_asyncio.fixture(loop_scope="function")
async def npu_client(gptoss_session: Session, npu: Device) -> AsyncIterator[httpx.AsyncClient]:
    """An httpx client bound to the device under test: base URL, key and certificates set."""
    async with gptoss_session.asking.http_client(npu) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="function")
async def gpu_client(gptoss_session: Session, gpu: Device) -> AsyncIterator[httpx.AsyncClient]:
    """An httpx client bound to the baseline: base URL, key and certificates set."""
    async with gptoss_session.asking.http_client(gpu) as client:
        yield client
