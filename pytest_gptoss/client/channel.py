"""HTTP with one server: every wait and every body is bounded, every failure is a RequestError.

It knows nothing of models, and of tokens only that an event may carry one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import anyio
import httpx

from pytest_gptoss.client.bodies import condense, is_web_page, refusal_text
from pytest_gptoss.client.connection import bound_http_client
from pytest_gptoss.client.content_decoding import decoded
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.sse import SseDecoder, SseEvent, ends_stream
from pytest_gptoss.client.timeouts import Timeouts, Wait
from pytest_gptoss.model.errors import ConnectError, DialectError, RequestTimeout, StreamError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.subjects import Role

__all__ = ["MAX_ANSWER_BYTES", "MAX_STREAM_BYTES", "Answer", "Channel"]

MAX_ANSWER_BYTES = 8 * 2**20
"""The longest answer, unless its request allows more. Parsed JSON takes up to 25 times the memory."""

MAX_STREAM_BYTES = 32 * 2**20
"""The longest stream. 2,048 tokens with 20 alternatives each, and a prompt of 128K ids, take 6 MiB."""

MAX_REFUSAL_BYTES = 64 * 2**10
"""As much of a refusal's body is read: messages quote one line of it."""

REFUSAL_WAIT_S = 5.0
"""The longest wait for that: the status alone makes the message."""

CLOSING_GRACE_S = 1.0
"""After ``[DONE]`` the answer is complete; the server has so long to end the body."""

_WRITTEN = "http11.send_request_body.complete"
"""The event of httpcore's trace extension for the moment when a request's last byte is with the kernel."""

_BROKEN = (httpx.HTTPError, OSError)
"""What httpx raises for a connection that fails; a TLS error in mid-answer can come as it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A unary answer, read to its end, with a status of success."""

    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """Read the body as JSON. Raises DialectError with the first words of what came instead."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            content_type = self.headers.get("content-type", "")
            page = is_web_page(content_type, self.body)
            raise DialectError(
                say(
                    "expected JSON, but {came} came ({said}): is it the vLLM server's root?",
                    came=say("a web page") if page else say("something else"),
                    said=refusal_text(self.body[:MAX_REFUSAL_BYTES], content_type),
                )
            ) from None


class Channel:
    """HTTP to one server; an async context manager.

    ``url_option`` names the option that gave the URL, for messages. Raises UsageError as
    ``bound_http_client`` does.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts,
        *,
        role: Role,
        url_option: str,
        ca_bundle: Path | None,
        trust_env: bool,
    ) -> None:
        self.endpoint = endpoint
        self.timeouts = timeouts
        self.interpreter = Interpreter(endpoint, role, url_option)
        self._http = bound_http_client(
            endpoint,
            # httpx's read timeout would start again with every byte. Only connecting is left to it; all other
            # waits are bounded by a deadline for the request, or for the next token.
            timeout=httpx.Timeout(None, connect=timeouts.connect),
            ca_bundle=ca_bundle,
            trust_env=trust_env,
        )

    async def __aenter__(self) -> Channel:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def get(self, path: str, *, wait: Wait) -> Answer:
        """GET a unary answer within ``wait``. Raises a RequestError."""
        return await self._unary("GET", path, None, wait=wait, max_bytes=MAX_ANSWER_BYTES)

    async def post(
        self,
        path: str,
        body: Mapping[str, Json],
        *,
        wait: Wait,
        max_bytes: int | None = None,
    ) -> Answer:
        """POST JSON and read the unary answer; ``max_bytes`` allows a longer one than MAX_ANSWER_BYTES.

        Raises a RequestError.
        """
        max_bytes = max(MAX_ANSWER_BYTES, max_bytes or 0)
        return await self._unary("POST", path, _encoded(body), wait=wait, max_bytes=max_bytes)

    async def post_bytes(self, path: str, content: bytes, *, wait: Wait) -> Answer:
        """POST bytes with the content type of JSON. Raises a RequestError."""
        return await self._unary("POST", path, content, wait=wait, max_bytes=MAX_ANSWER_BYTES)

    async def post_stream(
        self,
        path: str,
        body: Mapping[str, Json],
        *,
        take: Callable[[str], bool],
        first: Wait,
        written: Callable[[], None] | None = None,
    ) -> bool:
        """POST JSON and hand each event's data to ``take``; returns whether ``[DONE]`` came.

        ``take`` returns whether the event carried a token: ``first`` bounds the wait for the first one,
        ``timeouts.between_tokens`` that for each next one and for the end. Pings and single bytes extend no
        wait. ``written`` is called when the request's last byte has been written. Raises a RequestError, and
        what ``take`` raises.
        """
        where = self.where("POST", path)
        progress = _Progress(first)
        with anyio.CancelScope(deadline=anyio.current_time() + first.seconds) as scope:
            answering = self._answering("POST", path, _encoded(body), written)
            async with answering as response:
                await self._expect_stream(where, response)
                await self._read_events(where, response, take, progress, scope)
        if scope.cancelled_caught and not progress.done:
            raise RequestTimeout(say("{where}: {error}", where=where, error=progress.late()))
        return progress.done

    def where(self, method: str, path: str) -> str:
        """How messages name a request: method and full URL."""
        return f"{method} {self.endpoint.url(path)}"

    @contextmanager
    def placed(self, where: str) -> Iterator[None]:
        """Put the request before the message of an error that parsing raises, and take the key out of it."""
        try:
            yield
        except (DialectError, StreamError) as error:
            told = say("{where}: {error}", where=where, error=self.interpreter.scrub(str(error)))
            raise type(error)(told, cause=error.cause) from None

    def scrubbed(self, text: str) -> str:
        """``text`` without the API key."""
        return self.interpreter.scrub(text)

    def refuse_key(self, *texts: str) -> None:
        """Raise DialectError when the server repeats the API key in what would be kept."""
        key = self.endpoint.api_key
        if key is not None and any(key.stands_in(text) for text in texts):
            raise DialectError(
                say(
                    "the answer repeats the key of {key_variable}, which is kept nowhere: what "
                    "stands between here and vLLM? change that key",
                    key_variable=self.interpreter.key_variable,
                )
            )

    @asynccontextmanager
    async def _answering(
        self,
        method: str,
        path: str,
        content: bytes | None,
        written: Callable[[], None] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The response, once its headers are there and its status is a success."""
        where = self.where(method, path)
        request = self._http.build_request(
            method,
            self.endpoint.url(path),
            content=content,
            headers=None if content is None else {"Content-Type": "application/json"},
            extensions=None if written is None else {"trace": _when_written(written)},
        )
        try:
            response = await self._http.send(request, stream=True)
        except _BROKEN as error:
            seconds = self.timeouts.connect
            raise self.interpreter.unconnected(where, error, connect_s=seconds) from None
        try:
            if not response.is_success:
                body = await self._refusal(response)
                raise self.interpreter.refused(where, path, response.status_code, response.headers, body)
            yield response
        finally:
            await response.aclose()

    async def _refusal(self, response: httpx.Response) -> bytes:
        """The beginning of a refusal's body, as far as it comes within REFUSAL_WAIT_S."""
        body = bytearray()
        with anyio.move_on_after(REFUSAL_WAIT_S), suppress(*_BROKEN, DialectError):
            async for chunk in decoded(response):
                body += chunk
                if len(body) >= MAX_REFUSAL_BYTES:
                    break
        return bytes(body[:MAX_REFUSAL_BYTES])

    async def _unary(
        self,
        method: str,
        path: str,
        content: bytes | None,
        *,
        wait: Wait,
        max_bytes: int,
    ) -> Answer:
        where = self.where(method, path)
        body = bytearray()
        with anyio.CancelScope(deadline=anyio.current_time() + wait.seconds) as scope:
            async with self._answering(method, path, content) as response:
                try:
                    with self.placed(where):
                        async for chunk in decoded(response):
                            body += chunk
                            if len(body) > max_bytes:
                                raise DialectError(_too_long(max_bytes))
                except _BROKEN as error:
                    raise ConnectError(
                        say(
                            "{where}: the connection was closed in the middle of the answer, after {read} "
                            "bytes ({reason}): see the server's log",
                            where=where,
                            read=len(body),
                            reason=self._reason(error),
                        )
                    ) from None
        if scope.cancelled_caught:
            raise RequestTimeout(
                say(
                    "{where}: no whole answer within {seconds:g} s: see the server's log, or allow "
                    "more with {option}",
                    where=where,
                    seconds=wait.seconds,
                    option=wait.option,
                )
            )
        return Answer(response.headers, bytes(body))

    async def _expect_stream(self, where: str, response: httpx.Response) -> None:
        content_type = response.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() == "text/event-stream":
            return
        raise self.interpreter.no_stream(where, content_type, await self._refusal(response))

    async def _read_events(
        self,
        where: str,
        response: httpx.Response,
        take: Callable[[str], bool],
        progress: _Progress,
        scope: anyio.CancelScope,
    ) -> None:
        decoder = SseDecoder()
        size = 0
        try:
            with self.placed(where):
                async for chunk in decoded(response):
                    size += len(chunk)
                    if size > MAX_STREAM_BYTES:
                        if progress.done:
                            return
                        raise StreamError(_too_long(MAX_STREAM_BYTES))
                    wait = progress.advance(decoder.feed(chunk), take, self.timeouts.until_next_token)
                    if wait is not None:
                        scope.deadline = anyio.current_time() + wait
        except _BROKEN as error:
            if not progress.done:
                raise StreamError(
                    say(
                        "{where}: the connection was closed in mid-stream, after {tokens} events with "
                        "tokens ({reason}): see the server's log",
                        where=where,
                        tokens=progress.tokens,
                        reason=self._reason(error),
                    ),
                    cause="died",
                ) from None

    def _reason(self, error: Exception) -> str:
        return self.interpreter.scrub(condense(str(error))) or type(error).__name__


@dataclass(slots=True)
class _Progress:
    """How far a stream has come: the present wait, the events with tokens, and whether ``[DONE]`` came."""

    wait: Wait
    tokens: int = 0
    done: bool = False

    def advance(
        self, events: Sequence[SseEvent], take: Callable[[str], bool], next_wait: Wait
    ) -> float | None:
        """Hand events to ``take``; returns the seconds of the next wait, None to keep the deadline."""
        seconds = None
        for event in events:
            if self.done:
                break
            if ends_stream(event.data):
                self.done = True
                seconds = CLOSING_GRACE_S
            elif take(event.data):
                self.tokens += 1
                self.wait = next_wait
                seconds = next_wait.seconds
        return seconds

    def late(self) -> str:
        waited = (
            say("no further token or end after {tokens} events with tokens", tokens=self.tokens)
            if self.tokens
            else say("no first token")
        )
        return say(
            "{waited} within {seconds:g} s: see the server's log, or allow more with {option}",
            waited=waited,
            seconds=self.wait.seconds,
            option=self.wait.option,
        )


def _when_written(call: Callable[[], None]) -> Callable[[str, Json], Awaitable[None]]:
    async def trace(name: str, _: Json) -> None:
        if name == _WRITTEN:
            call()

    return trace


def _encoded(body: Mapping[str, Json]) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _too_long(max_bytes: int) -> str:
    return say("an answer of more than {max_bytes} bytes: is it the vLLM server's root?", max_bytes=max_bytes)
