"""An exchange decoded into a timing: chunk framing, content coding, events and JSON.

It happens after the reads were stamped, and in parts, so that the backlog can stop between them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns

import httpx

from pytest_gptoss.client.content_decoding import ContentDecoder
from pytest_gptoss.client.failures import Interpreter
from pytest_gptoss.client.load.exchange import MAX_BODY_BYTES, Exchange
from pytest_gptoss.client.load.framing import Dechunker, FramingError, Head
from pytest_gptoss.client.load.reading import StampedStream
from pytest_gptoss.client.load.requests import LoadRequest
from pytest_gptoss.client.sse import SseDecoder
from pytest_gptoss.client.timeouts import Timeouts, Wait
from pytest_gptoss.model.errors import DialectError, RequestError, RequestTimeout, StreamError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, RequestTiming

__all__ = ["AnswerReader"]

_PART_BYTES = 4096
"""Bytes that are decoded in one go: about 17 events, a tenth of a millisecond."""
_ENCODED_PART_BYTES = 512
"""The same of a compressed body: an event stream shrinks to a tenth."""

_REFUSAL_BYTES = 64 * 2**10
"""As much of a refusal's body is kept: messages quote one line of it."""


class AnswerReader:
    """Decodes one answer, if need be while it still arrives.

    ``advance`` decodes what has come; ``timing`` gives the record of an exchange that has ended. What is
    wrong with the answer goes into that record and is never raised. ``prompt_tokens`` estimates the prompt's
    length, on which the wait for the first token depends. ``intended_ns``: when an open loop was to send it.
    """

    def __init__(
        self,
        request: LoadRequest,
        exchange: Exchange,
        *,
        prompt_tokens: int,
        interpreter: Interpreter,
        timeouts: Timeouts,
        intended_ns: int | None = None,
    ) -> None:
        self.exchange = exchange
        self._request = request
        self._interpreter = interpreter
        self._timeouts = timeouts
        self._stream = StampedStream(request.max_tokens)
        self._decoder = SseDecoder()
        self._dechunker = Dechunker()
        self._content_decoder: ContentDecoder | None = None
        self._decoded_bytes = 0
        self._piece = 0
        self._at = 0
        self._refusal = bytearray()
        self._is_stream: bool | None = None
        self._error: RequestError | None = None
        self._prompt_tokens = prompt_tokens
        self._intended_ns = intended_ns

    def advance(self, until_ns: int) -> bool:
        """Decode until a moment of the monotonic clock; returns whether all that has come is decoded.

        At least one part is decoded, and the last one may end a little after that moment.
        """
        exchange = self.exchange
        if exchange.head is None:  # what has come is a part of the head
            return True
        part_bytes = _ENCODED_PART_BYTES if exchange.head.header(b"content-encoding") else _PART_BYTES
        while self._piece < len(exchange.pieces):
            piece = exchange.pieces[self._piece]
            part = piece[self._at : self._at + part_bytes]
            self._at += len(part)
            if self._error is None:
                self._read(exchange.head, part)
            if self._at >= len(piece):
                self._piece, self._at = self._piece + 1, 0
            if monotonic_ns() > until_ns:
                break
        return self._piece >= len(exchange.pieces)

    def may_be_overdue(self, now_ns: int) -> bool:
        """Whether a wait may be over, by what was decoded so far, which may not be all that has come."""
        return self._late(now_ns, self._shortest_wait())

    def overdue(self, now_ns: int) -> RequestTimeout | None:
        """The error when the wait for the first or the next token has run out, else None.

        Right only when all that has come is decoded.
        """
        if not self._late(now_ns, self._wait()):
            return None
        wait, tokens = self._wait(), len(self._stream.token_ns)
        waited = (
            say("no further token or end after {tokens} events with tokens", tokens=tokens)
            if tokens
            else say("no first token")
        )
        return RequestTimeout(
            say(
                "{where}: {waited} within {seconds:g} s: see the server's log, or allow more with {option}",
                where=self._where,
                waited=waited,
                seconds=wait.seconds,
                option=wait.option,
            )
        )

    def timing(self, broken: Exception | None) -> RequestTiming:
        """Decode the rest and return the record; ``broken`` is the error that ended the exchange early."""
        exchange, stream = self.exchange, self._stream
        while not self.advance(monotonic_ns()):
            pass
        error = self._failure(broken)
        usage, events = stream.usage, stream.counted()
        return RequestTiming(
            id=self._request.id,
            start_ns=exchange.start_ns,
            sent_ns=exchange.sent_ns,
            token_ns=events.token_ns,
            tokens=events.tokens,
            first_text_ns=stream.first_text_ns,
            end_ns=exchange.last_ns,
            prompt_tokens=None if usage is None else usage.prompt,
            completion_tokens=None if usage is None else usage.completion,
            cached_tokens=None if usage is None else usage.cached,
            finish_reason=stream.finish_reason and self._interpreter.scrub(stream.finish_reason),
            error=None if error is None else Failure(self._request.id, error.kind, str(error)),
            counted_by=events.counted_by,
            prompt_ids=stream.prompt_ids,
            output_ids=None if stream.output_ids is None else tuple(stream.output_ids),
            intended_ns=self._intended_ns,
            asked=self._request.asked,
        )

    @property
    def _where(self) -> str:
        return f"POST {self._interpreter.endpoint.url(self._request.path)}"

    def _read(self, head: Head, part: bytes) -> None:
        stamp_ns = self.exchange.stamps[self._piece]
        try:
            body = self._dechunker.feed(part) if head.chunked else part
            if not self._streams(head):
                self._refuse(head, body)
                return
            for piece in self._decoding(head).feed(body):
                self._bound(len(piece))
                for event in self._decoder.feed(piece):
                    self._stream.take(event.data, stamp_ns)
        except FramingError as error:
            self._error = self._error_of(DialectError, say("{error}: does a proxy meddle?", error=error))
        except (DialectError, StreamError) as error:
            self._error = self._error_of(type(error), str(error))

    def _refuse(self, head: Head, body: bytes) -> None:
        """Keep the beginning of a refusal's body, to be quoted; nothing of one that cannot be decoded."""
        if len(self._refusal) >= _REFUSAL_BYTES:
            return
        with suppress(DialectError):
            for piece in self._decoding(head).feed(body):
                self._refusal += piece[: _REFUSAL_BYTES - len(self._refusal)]
                if len(self._refusal) >= _REFUSAL_BYTES:
                    return

    def _decoding(self, head: Head) -> ContentDecoder:
        if self._content_decoder is None:
            self._content_decoder = ContentDecoder(head.header(b"content-encoding"))
        return self._content_decoder

    def _bound(self, size: int) -> None:
        """Raise FramingError for a body that decompresses to more than any answer may have."""
        self._decoded_bytes += size
        if self._decoded_bytes > MAX_BODY_BYTES:
            raise FramingError(say("the answer is longer than {most} bytes", most=MAX_BODY_BYTES))

    def _failure(self, broken: Exception | None) -> RequestError | None:
        """What is wrong with the exchange, the cause before its consequences; None for a sound one."""
        head = self.exchange.head
        if isinstance(broken, RequestTimeout):
            return broken
        if head is None:
            return self._unanswered(broken)
        if isinstance(broken, httpx.RemoteProtocolError):
            return self._error_of(DialectError, say("{error}: does a proxy meddle?", error=broken))
        if self._error is not None:
            return self._error
        if not 200 <= head.status < 300:
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in head.headers}
            return self._interpreter.refused(
                self._where, self._request.path, head.status, headers, bytes(self._refusal)
            )
        if not self._streams(head):
            return self._interpreter.no_stream(
                self._where, head.header(b"content-type"), bytes(self._refusal)
            )
        if broken is not None and not self._stream.done:
            return self._error_of(
                StreamError,
                say(
                    "the connection was closed in mid-stream, after {tokens} events with tokens "
                    "({reason}): see the server's log",
                    tokens=len(self._stream.token_ns),
                    reason=broken,
                ),
            )
        try:
            self._stream.finish()
        except (DialectError, StreamError) as error:
            return self._error_of(type(error), str(error))
        return None

    def _unanswered(self, broken: Exception | None) -> RequestError:
        if isinstance(broken, httpx.RemoteProtocolError):
            root = self._interpreter.endpoint.root
            return self._error_of(
                DialectError, say("{broken}: is {root} the vLLM server's root?", broken=broken, root=root)
            )
        return self._interpreter.unconnected(
            self._where,
            broken or httpx.ReadError(say("the server closed it")),
            connect_s=self._timeouts.connect,
        )

    def _error_of(self, kind: Callable[[str], RequestError], words: str) -> RequestError:
        return kind(say("{where}: {error}", where=self._where, error=self._interpreter.scrub(words)))

    def _late(self, now_ns: int, wait: Wait) -> bool:
        since = self._stream.token_ns[-1] if self._stream.token_ns else self._begun_ns
        return now_ns - since > wait.seconds * 1e9

    @property
    def _begun_ns(self) -> int:
        return self.exchange.start_ns if self.exchange.sent_ns is None else self.exchange.sent_ns

    def _shortest_wait(self) -> Wait:
        """The shortest of the waits that may apply, while it is not known whether a token has come."""
        return min(self._wait(), self._timeouts.until_next_token, key=lambda wait: wait.seconds)

    def _wait(self) -> Wait:
        if self._stream.token_ns:
            return self._timeouts.until_next_token
        return self._timeouts.until_first_token(self._prompt_tokens)

    def _streams(self, head: Head) -> bool:
        if self._is_stream is None:
            kind = head.header(b"content-type").partition(";")[0].strip().lower()
            self._is_stream = 200 <= head.status < 300 and kind == "text/event-stream"
        return self._is_stream
