"""A stream's events and their stamps, read into one request's timing. What the text says is not kept."""

from __future__ import annotations

from pytest_gptoss.client.sse import ends_stream
from pytest_gptoss.client.stream_event import StreamEvent, Usage, read_event
from pytest_gptoss.client.whole_stream import require_count, require_end, require_no_excess

__all__ = ["StampedStream"]


class StampedStream:
    """Collects one answer's events. ``max_tokens`` bounds what is taken from a server that ignores it."""

    def __init__(self, max_tokens: int) -> None:
        self.token_ns: list[int] = []
        self.tokens: list[int] = []
        self.first_text_ns: int | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.done = False
        self._max_tokens = max_tokens
        self._ids: int | None = None
        self._events = 0

    def take(self, data: str, stamp_ns: int) -> None:
        """Add an event's data, which came at ``stamp_ns``; what follows ``[DONE]`` is not looked at.

        Raises StreamError and DialectError as ``read_event`` does, and for more tokens than asked for.
        """
        if self.done:
            return
        if ends_stream(data):
            self.done = True
            return
        event = read_event(data)
        counted = self._counted(event)
        self.usage = event.usage or self.usage
        self.finish_reason = event.finish_reason or self.finish_reason
        self._events += 1
        if event.carries_token:
            self.token_ns.append(stamp_ns)
            self.tokens.append(counted)
        if self.first_text_ns is None and (event.reasoning or event.content):
            self.first_text_ns = stamp_ns
        require_no_excess(
            self._max_tokens, ids=self._ids or 0, token_events=len(self.token_ns), events=self._events
        )

    def finish(self) -> None:
        """Raise StreamError when an end mark is missing, DialectError when ids and usage disagree."""
        _, usage = require_end(
            finish_reason=self.finish_reason,
            usage=self.usage,
            done=self.done,
            token_events=len(self.token_ns),
        )
        if self._ids is not None:
            require_count(self._ids, usage.completion)

    def _counted(self, event: StreamEvent) -> int:
        """How many tokens an event carries: its ids, or the growth of a running usage, or one."""
        if event.ids is not None:
            self._ids = (self._ids or 0) + len(event.ids)
            if event.ids:
                return len(event.ids)
        if event.usage is not None and self._ids is None:
            grown = event.usage.completion - (0 if self.usage is None else self.usage.completion)
            return max(grown, 1)
        return 1
