"""The way to the server and back, without a model in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from pytest_gptoss.client.connection import trusted_context
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.transport import EXCHANGE, StampingTransport
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.model.errors import RequestTimeout
from pytest_gptoss.model.subjects import Role

__all__ = ["round_trip_ms"]

ROUND_TRIPS = 9
_PATH = "/version"


async def round_trip_ms(
    endpoint: Endpoint,
    *,
    timeouts: Timeouts,
    ca_bundle: Path | None,
    trust_env: bool = False,
    role: Role = "npu",
) -> tuple[float, ...]:
    """Milliseconds from ``GET /version`` written to its answer's end, several times on one warm connection.

    The network and the server's front, whatever the status. Raises RequestError when no answer comes.
    """
    interpreter = Interpreter(endpoint, role, f"--{role}-url")
    where = f"GET {endpoint.url(_PATH)}"
    wait = timeouts.until_next_token
    context = trusted_context(endpoint, ca_bundle, trust_env=trust_env)
    transport = StampingTransport(context=context, connect_timeout_s=timeouts.connect)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            times = [
                await asyncio.wait_for(_one(client, endpoint.url(_PATH)), wait.seconds)
                for _ in range(ROUND_TRIPS + 1)
            ]
        except httpx.TransportError as error:
            raise interpreter.unconnected(where, error, connect_s=timeouts.connect) from None
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"{where}: no whole answer within {wait.seconds:g} s: see the server's log, "
                f"or allow more with {wait.option}"
            ) from None
    return tuple(times[1:])


async def _one(client: httpx.AsyncClient, url: str) -> float:
    async with client.stream("GET", url) as response:  # the body is not looked at, however it is packed
        exchange: Exchange = response.extensions[EXCHANGE]
    sent_ns = exchange.start_ns if exchange.sent_ns is None else exchange.sent_ns
    return (exchange.last_ns - sent_ns) / 1e6
