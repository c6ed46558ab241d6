"""The server: requests read as they come, answers played from their timelines, every write stamped.

An ``asyncio.Protocol`` without a framework, so that it keeps its schedule with hundreds of streams.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, cast

from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH
from pytest_gptoss.truth.queue import Queue, QueueLaw
from pytest_gptoss.truth.scores import prompt_logprobs
from pytest_gptoss.truth.script import Script, ScriptError
from pytest_gptoss.truth.stamps import Stamps
from pytest_gptoss.truth.timeline import WHOLE, Write, in_shares, timeline

__all__ = ["TruthServer"]

_HEAD_END = b"\r\n\r\n"
_SCRIPTED = b'"truth":'
_ANSWERS = (CHAT_PATH, COMPLETIONS_PATH)
_EARLY_MS = 1.0
"""A write due so soon is written now: uvloop's timers tick in milliseconds. The stamp tells the truth."""

_MODELS = {"object": "list", "data": [{"id": "truth", "object": "model", "max_model_len": CONTEXT}]}


class TruthServer:
    """What connections share: the default script, the queue, and the stamps of all requests so far.

    Without a ``law`` there is no queue: each request is answered by its script alone.
    """

    def __init__(self, script: Script, law: QueueLaw | None = None) -> None:
        self.script = script
        self.stamps: list[Stamps] = []
        self._law = law
        self.queue = None if law is None else Queue(law)

    def forget(self) -> None:
        """Drop the stamps, and begin anew with an empty queue."""
        self.stamps.clear()
        self.queue = None if self._law is None else Queue(self._law)

    def connection(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return _Connection(self)


class _Connection(asyncio.Protocol):
    """One connection: one request at a time, and the answer that is being played."""

    def __init__(self, server: TruthServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._writes: tuple[Write, ...] = ()
        self._next = 0
        self._stamps: Stamps | None = None
        self._due: Callable[[Write], int] = _never
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no common class, but behave as one.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._repeats():
            self._play()

    def data_received(self, data: bytes) -> None:
        read_ns = monotonic_ns()
        self._received += data
        head, mark, rest = self._received.partition(_HEAD_END)
        if not mark:
            return
        first, headers = _head(bytes(head))
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        del self._received[: len(head) + len(mark) + length]
        method, path, *_ = [*first.split(), "", ""]
        body = bytes(rest[:length])
        # Requests that come together are all to be stamped before the first is looked into, which takes a
        # while; where no script says otherwise, nothing is due for half the time to the first token.
        at_once = _SCRIPTED in body or method != "POST" or self._server.queue is not None
        spare_ms = 0.0 if at_once else self._server.script.first_token_ms / 2
        self._loop.call_later(
            spare_ms / 1e3, self._handle, method, path.partition("?")[0], headers, body, read_ns
        )

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes, read_ns: int) -> None:
        if method == "POST" and path in _ANSWERS:
            self._answer(path, headers, body, read_ns)
        elif path == "/stamps":
            if method == "DELETE":
                self._server.forget()
            self._reply(200, {"requests": [each.as_json() for each in self._server.stamps]})
        elif path == "/v1/models":
            self._reply(200, _MODELS)
        elif path in ("/health", "/version"):
            self._reply(200, {"version": "truth"})
        else:
            self._reply(404, {"detail": "Not Found"})

    def _answer(self, path: str, headers: dict[str, str], body: bytes, read_ns: int) -> None:
        try:
            asked = json.loads(body)
            script = self._server.script.changed(asked.get("truth", {}))
            max_tokens = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or 16)
        except (ValueError, AttributeError, TypeError, ScriptError) as error:
            self._reply(400, {"error": {"message": f"{error}", "type": "BadRequestError", "code": 400}})
            return
        chat = path == _ANSWERS[0]
        if not asked.get("stream"):
            scores = None if chat else prompt_logprobs(asked)
            self._reply(200, _at_once(max_tokens, script, chat=chat, scores=scores))
            return
        self._stamps = Stamps(headers.get("x-request-id", ""), read_ns)
        self._server.stamps.append(self._stamps)
        if self._server.queue is None:
            self._due = _scripted(read_ns)
        else:
            script = self._enter(self._server.queue, self._stamps, script, max_tokens)
        self._writes, self._next = timeline(script, max_tokens, chat=chat), 0
        self._play()

    def _enter(self, queue: Queue, stamps: Stamps, script: Script, max_tokens: int) -> Script:
        """Take a place in the queue; returns the script in shares of the service."""
        service = queue.enter(stamps.read_ns)
        stamps.start_ns, stamps.service_ns = service.start_ns, service.service_ns
        self._due = lambda write: service.moment(1.0 if write.then == "end" else write.due_ms / WHOLE)
        return in_shares(script, max_tokens, queue.law.first_share)

    def _play(self) -> None:
        """Write all that is due, then wait for the next."""
        stamps, transport = self._stamps, self._transport
        while stamps is not None and transport is not None and self._next < len(self._writes):
            write = self._writes[self._next]
            now = monotonic_ns()
            wait_ms = (self._due(write) - now) / 1e6
            if wait_ms > _EARLY_MS:
                self._timer = self._loop.call_later(wait_ms / 1e3, self._play)
                return
            if write.tokens:
                stamps.token_ns.append(now)
                stamps.tokens.append(write.tokens)
                if write.text and stamps.first_text_ns is None:
                    stamps.first_text_ns = now
            if write.then == "end":
                stamps.end_ns = now
            transport.write(write.data)
            if write.then == "next":
                self._next += 1
            elif not self._then(write, transport):
                return

    def _then(self, write: Write, transport: asyncio.Transport) -> bool:
        """Do what follows a write; whether playing goes on."""
        if write.then == "end":
            self._stamps = None
        elif write.then == "reset":
            _reset(transport)
        elif write.then == "close":
            transport.close()
        elif write.then == "repeat" and not self._paused:
            # A timer in between, so that other connections get their turn.
            pause_s = 0.02 if len(write.data) < 1024 else 0.0
            self._timer = self._loop.call_later(pause_s, self._play)
        return False

    def _repeats(self) -> bool:
        return self._next < len(self._writes) and self._writes[self._next].then == "repeat"

    def _reply(self, status: int, body: Any) -> None:
        if self._transport is None:
            return
        raw = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        self._transport.write(head.encode() + raw)


def _never(write: Write) -> int:
    raise AssertionError(f"no request asks for {write}")


def _scripted(read_ns: int) -> Callable[[Write], int]:
    return lambda write: read_ns + round(write.due_ms * 1e6)


def _head(raw: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _reset(transport: asyncio.Transport) -> None:
    """Close so that the other side sees a reset, not an end."""
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _at_once(tokens: int, script: Script, *, chat: bool, scores: list[Any] | None) -> dict[str, Any]:
    """An answer that is not streamed, for clients that try the server first, or want their tokens scored."""
    said: dict[str, Any] = {"message": {"role": "assistant", "content": "x"}} if chat else {"text": "x"}
    choice: dict[str, Any] = {"index": 0, **said, "finish_reason": "length"}
    if scores is not None:
        choice["prompt_logprobs"] = scores
    counts = {"prompt_tokens": script.prompt_tokens, "completion_tokens": tokens}
    usage = {**counts, "total_tokens": sum(counts.values())}
    kind = "chat.completion" if chat else "text_completion"
    return {
        "id": "truth",
        "object": kind,
        "created": 0,
        "model": "truth",
        "choices": [choice],
        "usage": usage,
    }
