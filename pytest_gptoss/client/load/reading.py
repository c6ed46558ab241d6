"""A stream's events with their stamps: when tokens came, how many each event carried, and which.

Texts are not kept: a load level is judged by times, counts and token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pytest_gptoss.client.sse import ends_stream
from pytest_gptoss.client.stream_checks import require_count, require_end, require_no_excess
from pytest_gptoss.client.stream_event import StreamEvent, Usage, read_event
from pytest_gptoss.model.results import CountedBy

__all__ = ["StampedStream", "TokenEvents"]


class TokenEvents(NamedTuple):
    """The events with tokens: a stamp and a count each, and what the counts come from.

    ``counted_by`` None: they account for less or more than all tokens that the server's usage counts, or
    nothing tells them and each event is taken for one token.
    """

    token_ns: tuple[int, ...]
    tokens: tuple[int, ...]
    counted_by: CountedBy | None


class _Seen(NamedTuple):
    """An event that may carry tokens: how many ids, and how far a running usage has counted with it.

    ``shows``: ids, text or a call. ``running`` is None where no usage came along.
    """

    stamp_ns: int
    ids: int
    running: int | None
    shows: bool


class StampedStream:
    """Collects one answer's events. ``max_tokens`` bounds what is taken from a server that ignores it.

    ``token_ns`` holds the stamps of the events that show a token, as they come. ``prompt_ids`` and
    ``output_ids`` stay None where the server tells no token ids.
    """

    def __init__(self, max_tokens: int) -> None:
        self.token_ns: list[int] = []
        self.first_text_ns: int | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.done = False
        self.prompt_ids: tuple[int, ...] | None = None
        self.output_ids: list[int] | None = None
        self._max_tokens = max_tokens
        self._events = 0
        self._seen: list[_Seen] = []

    def take(self, data: str, stamp_ns: int) -> None:
        """Add an event's data, which came at ``stamp_ns``; what follows ``[DONE]`` is ignored.

        Raises StreamError and DialectError as ``read_event`` does, and for more tokens than asked for.
        """
        if self.done:
            return
        if ends_stream(data):
            self.done = True
            return
        event = read_event(data)
        self._note(event, stamp_ns)
        self.usage = event.usage or self.usage
        self.finish_reason = event.finish_reason or self.finish_reason
        self._events += 1
        if event.carries_token:
            self.token_ns.append(stamp_ns)
        if self.first_text_ns is None and (event.reasoning or event.content):
            self.first_text_ns = stamp_ns
        require_no_excess(
            self._max_tokens,
            ids=len(self.output_ids or ()),
            token_events=len(self.token_ns),
            events=self._events,
        )

    def finish(self) -> None:
        """Raise StreamError when an end mark is missing, DialectError when ids and usage disagree."""
        _, usage = require_end(
            finish_reason=self.finish_reason,
            usage=self.usage,
            done=self.done,
            token_events=len(self.token_ns),
        )
        if self.output_ids is not None:
            require_count(len(self.output_ids), usage.completion)

    def counted(self) -> TokenEvents:
        """The events with tokens and how many each carries: by their ids, or by a running usage.

        Where ids come, an event without any carries no token, whatever text it shows: a token's text may come
        later than its id. With a running usage an event carries as many tokens as the count has grown by,
        with text or without.
        """
        total = None if self.usage is None else self.usage.completion
        if self.output_ids:
            return _events([(each.stamp_ns, each.ids) for each in self._seen], "ids", total)
        by_usage = _events(_growth(self._seen), "usage", total)
        if by_usage.counted_by is not None:
            return by_usage
        return _events([(each.stamp_ns, 1) for each in self._seen if each.shows], None, total)

    def _note(self, event: StreamEvent, stamp_ns: int) -> None:
        self.prompt_ids = event.prompt_ids or self.prompt_ids
        if event.ids is not None:
            self.output_ids = [] if self.output_ids is None else self.output_ids
            self.output_ids += event.ids
        # After the finish reason comes the usage of the full answer: tokens that it adds were not sent.
        running = None if event.usage is None else event.usage.completion
        if event.carries_token or (running is not None and self.finish_reason is None):
            self._seen.append(_Seen(stamp_ns, len(event.ids or ()), running, event.carries_token))


def _growth(seen: Sequence[_Seen]) -> list[tuple[int, int]]:
    """By how much a running usage has grown with each event; none where it does not run along."""
    if any(each.running is None for each in seen if each.shows):
        return []
    known = [(each.stamp_ns, each.running) for each in seen if each.running is not None]
    before = (0, *(running for _, running in known))
    grown = [after - earlier for earlier, after in pairwise(before)]
    if any(step < 0 for step in grown):
        return []
    return [(stamp_ns, step) for (stamp_ns, _), step in zip(known, grown, strict=True)]


def _events(
    counts: Sequence[tuple[int, int]], counted_by: CountedBy | None, total: int | None
) -> TokenEvents:
    """The events that carry tokens; ``counted_by`` is kept only where their sum is the server's total."""
    carrying = [(stamp_ns, count) for stamp_ns, count in counts if count]
    tokens = tuple(count for _, count in carrying)
    complete = bool(tokens) and sum(tokens) == total
    stamps = tuple(stamp_ns for stamp_ns, _ in carrying)
    return TokenEvents(stamps, tokens, counted_by if complete else None)
