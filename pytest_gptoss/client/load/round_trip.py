"""Round-trip times to a server and back, without a model in between."""

from __future__ import annotations

import asyncio

import httpx

from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.job import LoadTarget
from pytest_gptoss.client.load.transport import EXCHANGE, StampingTransport
from pytest_gptoss.model.errors import RequestTimeout
from pytest_gptoss.model.message import say

__all__ = ["round_trip_ms"]

ROUND_TRIPS = 9
_PATH = "/version"


async def round_trip_ms(target: LoadTarget) -> tuple[float, ...]:
    """Milliseconds from ``GET /version`` written to its answer's end, nine times over one open connection.

    They hold the network and the server's HTTP front end; any status will do. Raises RequestError when no
    answer comes.
    """
    url, timeouts = target.endpoint.url(_PATH), target.timeouts
    wait, connect_s = timeouts.until_next_token, timeouts.connect
    transport = StampingTransport(context=target.context(), connect_timeout_s=connect_s)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            # The first one opens the connection, and is left out.
            times = [await asyncio.wait_for(_one(client, url), wait.seconds) for _ in range(ROUND_TRIPS + 1)]
        except httpx.TransportError as error:
            raise target.interpreter.unconnected(f"GET {url}", error, connect_s=connect_s) from None
        except asyncio.TimeoutError:
            raise RequestTimeout(
                say(
                    "{where}: no whole answer within {seconds:g} s: see the server's log, or allow "
                    "more with {option}",
                    where=f"GET {url}",
                    seconds=wait.seconds,
                    option=wait.option,
                )
            ) from None
    return tuple(times[1:])


async def _one(client: httpx.AsyncClient, url: str) -> float:
    async with client.stream("GET", url) as response:  # the body is not read: its content does not matter
        exchange: Exchange = response.extensions[EXCHANGE]
    sent_ns = exchange.start_ns if exchange.sent_ns is None else exchange.sent_ns
    return (exchange.last_ns - sent_ns) / 1e6
