"""Server-sent events, decoded as the WHATWG standard says.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an event
stream". Fields ``id`` and ``retry`` serve reconnection, which a measured request never does: they
are read and dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_gptoss.model.errors import StreamError
from pytest_gptoss.model.message import say

__all__ = ["MAX_EVENT_BYTES", "SseDecoder", "SseEvent", "ends_stream"]

MAX_EVENT_BYTES = 8 * 2**20
"""The longest line and event: a stream without line ends must not fill the memory."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_DATA = b"data:"
_BOM = b"\xef\xbb\xbf"

_END_OF_STREAM = "[DONE]"


def ends_stream(data: str) -> bool:
    """Whether an event's data is ``[DONE]``, which ends an OpenAI stream; spaces around it do not count."""
    return data.strip() == _END_OF_STREAM


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its type (``message`` unless the stream says otherwise) and its data."""

    type: str
    data: str


class SseDecoder:
    """Decodes bytes into events; a chunk may end anywhere, inside a UTF-8 character too."""

    def __init__(self, *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._type = ""
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that a chunk completes.

        Raises StreamError when a line or an event's data exceeds the limit.
        """
        if self._is_one_event(chunk):
            return [SseEvent("message", _text(chunk[len(_DATA) : -2]))]
        if self._after_cr and chunk:
            # The CR has ended its line already; an LF right after it belongs to the same line end.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        *ended, rest = _LINE_END.split(chunk)
        events = []
        for piece in ended:
            self._extend(piece)
            event = self._end_line()
            if event is not None:
                events.append(event)
        self._extend(rest)
        return events

    def _is_one_event(self, chunk: bytes) -> bool:
        """Whether a chunk is exactly one event of one line, as nearly all are: the fast path."""
        return (
            chunk.startswith(_DATA)
            and chunk.find(b"\n") == len(chunk) - 2
            and chunk.endswith(b"\n\n")
            and b"\r" not in chunk
            and len(chunk) <= self._max_bytes
            and not (self._at_start or self._after_cr or self._line or self._data or self._type)
        )

    def _extend(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) + self._data_bytes > self._max_bytes:
            raise StreamError(
                say(
                    "an event of more than {max_bytes} bytes: no server of ours sends such; is the "
                    "URL a vLLM server?",
                    max_bytes=self._max_bytes,
                )
            )

    def _end_line(self) -> SseEvent | None:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(_text(value))
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._type = _text(value)
        return None

    def _dispatch(self) -> SseEvent | None:
        event = SseEvent(self._type or "message", "\n".join(self._data)) if self._data else None
        self._type = ""
        self._data.clear()
        self._data_bytes = 0
        return event


def _text(value: bytes) -> str:
    return value.removeprefix(b" ").decode("utf-8", "replace")
