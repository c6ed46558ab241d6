"""A tiny HTTP/1.1 server on loopback whose every byte and pause a test writes down."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Routes map "METHOD /path" to handlers; what has no route is answered 404 as vLLM does."""

    routes: dict[str, Handler]
    ssl: object = None
    requests: list[Request] = field(default_factory=list)

    async def __aenter__(self):
        self._connections = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.ssl)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.ssl else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader, writer):
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            while request := await _read(reader):
                self.requests.append(request)
                handler = self.routes.get(
                    f"{request.method} {request.path}", answer({"detail": "Not Found"}, 404)
                )
                await handler(request, writer)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled by __aexit__ alone; asyncio's own callback stumbles over a cancelled handler.
            pass
        finally:
            writer.transport.abort()


async def _read(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split()
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _head(status, headers):
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(body, status=200, content_type="application/json", **headers):
    """A whole answer; ``body`` is bytes, text, or something for JSON."""

    async def handler(request, writer):
        raw = (
            body
            if isinstance(body, bytes)
            else (body if isinstance(body, str) else json.dumps(body)).encode()
        )
        sent = {"Content-Type": content_type, "Content-Length": len(raw), **headers}
        writer.write(_head(status, sent) + raw)
        await writer.drain()

    return handler


def stream(*pieces, status=200, content_type="text/event-stream", end=True, dribble=0):
    """A chunked answer. A piece is bytes, or an ``asyncio.Event`` to wait for.

    ``dribble`` sends so few bytes at a time, each as a chunk; ``end`` False breaks the connection off.
    """

    async def handler(request, writer):
        writer.write(_head(status, {"Content-Type": content_type, "Transfer-Encoding": "chunked"}))
        for piece in pieces:
            await writer.drain()
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            for part in (
                [piece[i : i + dribble] for i in range(0, len(piece), dribble)] if dribble else [piece]
            ):
                writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        if end:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            await writer.drain()
            writer.close()

    return handler


def silence(arrived=None):
    """Takes the request, sets ``arrived``, and never answers."""

    async def handler(request, writer):
        if arrived is not None:
            arrived.set()
        await asyncio.Event().wait()

    return handler


def hang_up(first=b""):
    """Sends these bytes and closes the connection."""

    async def handler(request, writer):
        writer.write(first)
        await writer.drain()
        writer.close()

    return handler


def events(*chunks, done=True):
    """Event-stream bytes of JSON chunks, with ``[DONE]`` unless told otherwise."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"] if done else lines).encode()
