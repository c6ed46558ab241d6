"""Answers over HTTP: strict JSON, server-sent events, and work that stops when the client leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import error_body

__all__ = ["ClientLeft", "EventStream", "JsonReply", "internal_error", "while_connected"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class ClientLeft(Exception):
    """The client closed its connection before the answer was ready."""


def internal_error(error: Exception) -> Json:
    """The body of a 500, and a line in the log."""
    text = str(error) or type(error).__name__
    logger.error("a request failed: %s: %s", type(error).__name__, text)
    return error_body(500, text, kind="InternalServerError")


def _dumps(content: Json) -> bytes:
    """JSON as vLLM writes it; NaN and infinities are refused."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, echoed from the client's JSON, is escaped again as JSON does it.
    return text.encode("utf-8", "backslashreplace")


class JsonReply(Response):
    """A JSON body."""

    media_type = "application/json"

    def render(self, content: Json) -> bytes:
        """The bytes of the body."""
        return _dumps(content)


class EventStream(Response):
    """Server-sent events, each sent when it is made; ``[DONE]`` ends them, also after an error event."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Json, None]) -> None:
        self._events = events
        self.status_code = 200
        self.background = None
        self.init_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until all is said or the client is gone."""
        try:
            await while_connected(receive, self._send_all(send))
        except ClientLeft:
            return

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(_encoded(self._events)) as lines:
            async for line in lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _encoded(events: AsyncGenerator[Json, None]) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(events) as open_events:
            async for event in open_events:
                yield b"data: " + _dumps(event) + b"\n\n"
    except Exception as error:
        yield b"data: " + _dumps(internal_error(error)) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Await some work; cancel it when the client goes away.

    Raises:
        ClientLeft: it did.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeft
        return task.result()
    finally:
        for each in (task, left):
            each.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
