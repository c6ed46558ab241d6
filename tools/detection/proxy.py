"""A proxy in front of a sound server: what comes passes on as it came, or as a fault has it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import httpx

from detection.row import NotMeasured

__all__ = ["Exchange", "Handler", "Reset", "generates", "pass_on", "proxy", "relay"]

HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}
PATIENCE = httpx.Timeout(600.0)
ONE_REQUEST_EACH = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""A connection that the server is just closing would fail by the proxy's own fault."""
READY_S = 60.0


class Reset(Exception):
    """Raised by a fault: break the connection off here."""


class Exchange:
    """One request, and the ways to answer it. ``keep`` False closes the connection afterwards."""

    def __init__(
        self, head: str, headers: Mapping[str, str], body: bytes, *,
        upstream: httpx.AsyncClient, writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self.method, self.path, _ = head.split()
        self.headers = headers
        self.body = body
        self.keep = True
        self._upstream = upstream
        self._writer = writer

    @property
    def json(self) -> Any:
        """The request's body; an empty object where it is no JSON, as one of the suite's bad requests."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return {}

    def redirect(self, server: str, body: bytes) -> None:
        """Let another server answer, and another body be sent to it."""
        self.path, self.body = f"{server}{self.path}", body

    async def ask(self) -> httpx.Response:
        """Send the request on; the answer's body is still to be read."""
        sent = {name: value for name, value in self.headers.items() if name not in {*HOP_BY_HOP, "host"}}
        request = self._upstream.build_request(self.method, self.path, content=self.body, headers=sent)
        return await self._upstream.send(request, stream=True)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin a chunked answer."""
        await self._write(_head(status, {**headers, "transfer-encoding": "chunked"}))

    async def send(self, piece: bytes) -> None:
        """Send a piece of a chunked answer."""
        if piece:
            await self._write(b"%x\r\n%s\r\n" % (len(piece), piece))

    async def end(self) -> None:
        """End a chunked answer."""
        await self._write(b"0\r\n\r\n")

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer in one piece."""
        await self._write(_head(status, {**headers, "content-length": str(len(body))}) + body)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Handler: TypeAlias = Callable[[Exchange], Awaitable[None]]


def generates(exchange: Exchange) -> bool:
    """Whether a request asks for an answer of several tokens, as measuring does and probing does not."""
    if exchange.method != "POST" or not exchange.path.endswith("/completions"):
        return False
    body = exchange.json
    return bool(body.get("stream")) and int(body.get("max_tokens") or 0) > 1


async def pass_on(
    exchange: Exchange, change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None
) -> None:
    """Ask the server and answer what it says; ``change`` alters a stream's events, blank lines and all."""
    response = await exchange.ask()
    try:
        headers = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            await exchange.answer(response.status_code, headers, await response.aread())
            return
        await exchange.begin(response.status_code, headers)
        events = _events(response)
        async for event in change(events) if change else events:
            await exchange.send(event)
        await exchange.end()
    finally:
        await response.aclose()


async def relay(exchange: Exchange) -> None:
    """Ask the server and answer what it says, piece by piece as it comes, whatever is in it."""
    response = await exchange.ask()
    try:
        headers = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}
        await exchange.begin(response.status_code, headers)
        async for piece in response.aiter_raw():
            await exchange.send(piece)
        await exchange.end()
    finally:
        await response.aclose()


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    held = b""
    async for piece in response.aiter_raw():
        *whole, held = (held + piece).split(b"\n\n")
        for event in whole:
            yield event + b"\n\n"
    if held:
        yield held


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Proxied", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def proxy(upstream: str, handle: Handler = pass_on) -> Iterator[str]:
    """Yield the URL of a proxy in front of ``upstream`` that handles every exchange with ``handle``.

    Raises NotMeasured on leaving when ``handle`` failed by itself: what the client saw was not the fault.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    running = _Running(upstream, handle)
    try:
        yield asyncio.run_coroutine_threadsafe(running.start(), loop).result(READY_S)
    finally:
        asyncio.run_coroutine_threadsafe(running.stop(), loop).result(READY_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    if running.failure is not None:
        raise NotMeasured(f"the proxy's handler failed: {running.failure!r}") from running.failure


class _Running:
    """The listening socket, its connections, and the client that asks the server."""

    def __init__(self, upstream: str, handle: Handler) -> None:
        self.failure: Exception | None = None
        """The first that nobody meant to happen."""
        self._client = httpx.AsyncClient(
            base_url=upstream, timeout=PATIENCE, limits=ONE_REQUEST_EACH, trust_env=False
        )
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                exchange = await self._read(reader, writer)
                await self._handle(exchange)
                if not exchange.keep:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has gone
        except (Reset, httpx.RemoteProtocolError, httpx.ReadError):  # the latter: the server itself broke off
            writer.transport.abort()
        except Exception as error:  # whatever it is, the row must not count
            self.failure = self.failure or error
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Exchange(first, headers, body, upstream=self._client, writer=writer)
