"""httpx's transport for load: an answer is handed over when it has ended, its stamps beside it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from time import monotonic_ns

import httpx

from pytest_gptoss.client.load.connection import StampedConnection
from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.framing import Dechunker, FramingError
from pytest_gptoss.client.load.tls import TlsLayer

__all__ = ["EXCHANGE", "StampingTransport", "encode"]

EXCHANGE = "gptoss.exchange"
"""The key of the ``Exchange`` in the extensions of a request that was sent, and of its response."""

_HEAD = "gptoss.head"
_KEEPALIVE_NS = 2 * 10**9
"""Idle connections are dropped before vLLM's own limit of 5 s, as by the other client."""

_PORTS = {"http": 80, "https": 443}


async def encode(request: httpx.Request) -> None:
    """Turn a request into bytes ahead of time, so that sending it costs one write.

    Raises httpx.LocalProtocolError for a header that would break the request apart.
    """
    body = await request.aread()
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _REPLACED]
    if body or request.method in ("POST", "PUT", "PATCH"):
        headers.append((b"Content-Length", str(len(body)).encode()))
    if any(b"\r" in part or b"\n" in part for header in headers for part in header):
        raise httpx.LocalProtocolError("a header holds a line end")
    first = b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    lines = [first, *(b"%s: %s" % header for header in headers), b"", b""]
    # A memoryview, because a traceback that shows locals prints bytes, and the API key is among them.
    request.extensions[_HEAD] = memoryview(b"\r\n".join(lines))


_REPLACED = frozenset({b"content-length", b"transfer-encoding"})


class StampingTransport(httpx.AsyncBaseTransport):
    """Keeps connections and sends requests on them; give it to ``httpx.AsyncClient(transport=...)``.

    ``handle_async_request`` returns once the whole answer has come, so it is for answers of bounded
    length; bodies are decoded only when read. Raises httpx's errors. No redirect is followed, no proxy
    used, nothing sent twice. ``context`` is for https.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None, connect_timeout_s: float = 10.0) -> None:
        self._context = context
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[tuple[str, str, int], list[StampedConnection]] = {}
        self._all: set[StampedConnection] = set()

    async def open(self, url: httpx.URL, count: int) -> None:
        """Open so many connections to the server of ``url`` ahead of time. Raises httpx.ConnectError."""
        opened = await asyncio.gather(*(self._connect(url) for _ in range(count)), return_exceptions=True)
        for each in opened:
            if isinstance(each, BaseException):
                raise each
            self._park(url, each)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait for the end of its answer."""
        exchange = Exchange(request.method, monotonic_ns(), asyncio.get_running_loop().create_future())
        request.extensions[EXCHANGE] = exchange
        if _HEAD not in request.extensions:
            await encode(request)
        connection = self._take(request.url) or await self._connect(request.url)
        try:
            connection.send(request.extensions[_HEAD], request.content, exchange)
            await exchange.over
        except BaseException:
            connection.close()
            self._all.discard(connection)
            raise
        if connection.usable:
            self._park(request.url, connection)
        else:
            self._all.discard(connection)
        head = exchange.head
        if head is None:
            raise httpx.RemoteProtocolError("the answer has no head")
        return httpx.Response(
            head.status,
            headers=list(head.headers),
            stream=_Body(exchange),
            extensions={"http_version": b"HTTP/1.1", EXCHANGE: exchange},
        )

    async def aclose(self) -> None:
        """Drop all connections."""
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()

    def _take(self, url: httpx.URL) -> StampedConnection | None:
        idle = self._idle.get(_origin(url), [])
        while idle:
            connection = idle.pop()
            if connection.usable and monotonic_ns() - connection.idle_since_ns < _KEEPALIVE_NS:
                return connection
            connection.close()
            self._all.discard(connection)
        return None

    def _park(self, url: httpx.URL, connection: StampedConnection) -> None:
        self._idle.setdefault(_origin(url), []).append(connection)

    async def _connect(self, url: httpx.URL) -> StampedConnection:
        loop = asyncio.get_running_loop()
        scheme, host, port = _origin(url)
        ready: asyncio.Future[None] = loop.create_future()
        connection = StampedConnection(ready, self._tls(scheme, host))
        self._all.add(connection)
        try:
            await asyncio.wait_for(self._stand(connection, host, port), self._connect_timeout_s)
        except asyncio.TimeoutError:
            self._drop(connection)
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as error:  # TLS errors are among them
            self._drop(connection)
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            self._drop(connection)
            raise
        return connection

    async def _stand(self, connection: StampedConnection, host: str, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        await connection.ready

    def _drop(self, connection: StampedConnection) -> None:
        connection.close()
        self._all.discard(connection)
        if connection.ready.done() and not connection.ready.cancelled():
            connection.ready.exception()

    def _tls(self, scheme: str, host: str) -> TlsLayer | None:
        if scheme != "https":
            return None
        self._context = self._context or httpx.create_ssl_context(trust_env=False)
        return TlsLayer(self._context, host)


class _Body(httpx.AsyncByteStream):
    """An answer's body, its framing taken off when it is read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        head = self._exchange.head
        if head is None or not head.chunked:
            for piece in self._exchange.pieces:
                yield piece
            return
        dechunker = Dechunker()
        try:
            for piece in self._exchange.pieces:
                yield dechunker.feed(piece)
        except FramingError as error:
            raise httpx.RemoteProtocolError(str(error)) from None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme, 80)
