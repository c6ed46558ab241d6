"""The httpx transport under load: connections kept open, a response once all of its answer has come.

httpx's own transport is not used because it hides what is measured: when the last byte was written, and when
each read came. Only its errors, URLs and response objects are.
"""

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
from pytest_gptoss.model.message import say

__all__ = ["EXCHANGE", "StampingTransport", "encode"]

EXCHANGE = "gptoss.exchange"
"""The key of the ``Exchange`` in the extensions of a request that was sent, and of its response."""

_HEAD = "gptoss.head"
_KEEPALIVE_NS = 2 * 10**9
"""vLLM's uvicorn closes connections that were idle for 5 s. A request sent while it does so would fail, and a
failed request is not sent again, so older ones are not used."""

_PORTS = {"http": 80, "https": 443}


async def encode(request: httpx.Request) -> None:
    """Turn a request into bytes before the clock starts, so that sending it costs one write.

    The head is kept in ``request.extensions``. Raises httpx.LocalProtocolError for a header that would break
    the request apart.
    """
    body = await request.aread()
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _REPLACED]
    if body or request.method in ("POST", "PUT", "PATCH"):
        headers.append((b"Content-Length", str(len(body)).encode()))
    if any(b"\r" in part or b"\n" in part for header in headers for part in header):
        raise httpx.LocalProtocolError("a header holds a line end")
    first = b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    lines = [first, *(b"%s: %s" % header for header in headers), b"", b""]
    # A memoryview, because a traceback that shows local variables would print bytes, and with them the API
    # key.
    request.extensions[_HEAD] = memoryview(b"\r\n".join(lines))


_REPLACED = frozenset({b"content-length", b"transfer-encoding"})


class StampingTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections that it keeps; usable as ``httpx.AsyncClient(transport=...)``.

    ``handle_async_request`` returns when all of the answer has come, so it is for answers of bounded length.
    Chunk framing is taken off when the body is read. Raises httpx's errors. It follows no redirect, uses no
    proxy and sends nothing twice. ``context`` holds the certificates to trust, for https.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None, connect_timeout_s: float = 10.0) -> None:
        self._context = context
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[tuple[str, str, int], list[StampedConnection]] = {}
        self._all: set[StampedConnection] = set()

    async def open(self, url: httpx.URL, count: int) -> None:
        """Open ``count`` connections to the server of ``url`` before the clock starts.

        Otherwise the first requests' client delay would contain the handshakes. Raises httpx.ConnectError.
        """
        opened = await asyncio.gather(*(self._connect(url) for _ in range(count)), return_exceptions=True)
        for each in opened:
            if isinstance(each, BaseException):
                raise each
            self._park(url, each)

    async def keep_idle(self, url: httpx.URL, count: int) -> None:
        """Open connections until ``count`` can be used at once; those that are too old are closed.

        Raises httpx.ConnectError.
        """
        idle = self._idle.setdefault(_origin(url), [])
        for connection in [each for each in idle if not _is_fresh(each)]:
            idle.remove(connection)
            self._drop(connection)
        await self.open(url, max(0, count - len(idle)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response when the answer has ended.

        The ``Exchange`` with the stamps is in the request's extensions from the beginning, so that a timeout
        can be judged meanwhile, and in the response's.
        """
        exchange = Exchange(request.method, monotonic_ns(), asyncio.get_running_loop().create_future())
        request.extensions[EXCHANGE] = exchange
        if _HEAD not in request.extensions:
            await encode(request)
        connection = self._take(request.url) or await self._connect(request.url)
        try:
            connection.send(request.extensions[_HEAD], request.content, exchange)
            await exchange.over
        except BaseException:
            # Cancelled too: the rest of the answer may still come, and must not meet the next request.
            connection.close()
            self._all.discard(connection)
            raise
        if connection.usable:
            self._park(request.url, connection)
        else:
            self._all.discard(connection)
        head = exchange.head
        if head is None:
            raise httpx.RemoteProtocolError(say("the answer has no head"))
        return httpx.Response(
            head.status,
            headers=list(head.headers),
            stream=_Body(exchange),
            extensions={"http_version": b"HTTP/1.1", EXCHANGE: exchange},
        )

    async def aclose(self) -> None:
        """Close all connections at once."""
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()

    def _take(self, url: httpx.URL) -> StampedConnection | None:
        idle = self._idle.get(_origin(url), [])
        # The one that was idle longest comes first: all are used again before they are too old.
        while idle:
            connection = idle.pop(0)
            if _is_fresh(connection):
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
            await asyncio.wait_for(self._open_one(connection, host, port), self._connect_timeout_s)
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

    async def _open_one(self, connection: StampedConnection, host: str, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        await connection.ready

    def _drop(self, connection: StampedConnection) -> None:
        connection.close()
        self._all.discard(connection)
        # An exception that nobody has looked at would be logged by asyncio when the future is collected.
        if connection.ready.done() and not connection.ready.cancelled():
            connection.ready.exception()

    def _tls(self, scheme: str, host: str) -> TlsLayer | None:
        if scheme != "https":
            return None
        self._context = self._context or httpx.create_ssl_context(trust_env=False)
        return TlsLayer(self._context, host)


def _is_fresh(connection: StampedConnection) -> bool:
    """Whether the server will not be closing a connection just now."""
    return connection.usable and monotonic_ns() - connection.idle_since_ns < _KEEPALIVE_NS


class _Body(httpx.AsyncByteStream):
    """An answer's body; its chunk framing is taken off when it is read."""

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
