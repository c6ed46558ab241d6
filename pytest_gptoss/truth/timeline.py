"""A script, written out: which bytes are due when, and which tokens they complete."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pytest_gptoss.truth.scores import PROMPT
from pytest_gptoss.truth.script import Script

__all__ = ["WHOLE", "Write", "in_shares", "timeline"]

WHOLE = 1000.0
"""The time of a whole service, where a script's times are shares of it."""

_HIDDEN = 3
_WORDS = (" the", " é", " 密码", " and", " naïve", " 🜁", " of", " code")
"""Some take several bytes in UTF-8, and none is escaped, so that a split may fall inside one."""

_STUFFING = b"x" * 2**16
_LAST_CHUNK = b"0\r\n\r\n"
_MARKS = 8
"""Most bytes at the end of a flush that hold marks alone: in a piece of their own they would come after a
token that can be read already."""
_HEADERS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""What zlib is told to put around the packed bytes, by ``Content-Encoding``."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the socket, ``due_ms`` after the request was read.

    ``tokens`` are complete with it, ``text`` says whether any of them shows. ``then`` is what comes
    after it: ``next`` write, ``end`` of the answer, ``stall``, ``reset``, ``close`` or ``repeat``.
    """

    due_ms: float
    data: bytes
    tokens: int = 0
    text: bool = False
    then: str = "next"


@lru_cache(maxsize=64)
def timeline(script: Script, max_tokens: int, *, chat: bool) -> tuple[Write, ...]:
    """Write an answer out. Source of the dialect: streams recorded from vLLM 0.32."""
    if script.fault in ("silence", "endless-headers"):
        return _no_answer(script.fault)
    if script.fault.startswith("status-"):
        return (Write(0.0, _refusal(int(script.fault.removeprefix("status-"))), then="end"),)
    answer = _Answer(script, chat=chat)
    answer.head()
    total = max_tokens if script.tokens is None else script.tokens
    broken = script.fault in _BREAKS
    _tokens(answer, script, min(script.fault_after, total) if broken else total)
    if broken:
        _break(answer, script.fault, total)
    else:
        _end(answer, script, total)
    return tuple(_held(answer.writes, script.buffer))


def in_shares(script: Script, max_tokens: int, first_share: float) -> Script:
    """The script with times as shares of a service: the first token after ``first_share``, the last at its
    end.
    """
    count = max_tokens if script.tokens is None else script.tokens
    interval = WHOLE * (1.0 - first_share) / max(count - 1, 1)
    return replace(script, first_token_ms=WHOLE * first_share, interval_ms=interval, role_ms=None)


_BREAKS = frozenset(
    {"error-event", "stall", "reset", "close", "pings", "endless-body", "huge-line", "excess"}
)


class _Answer:
    """Collects the writes of one answer."""

    def __init__(self, script: Script, *, chat: bool) -> None:
        self.writes: list[Write] = []
        self.due_ms = 0.0
        self.chat = chat
        self._script = script
        self._line_end = b"\r\n" if script.crlf else b"\n"
        packs = script.encoding in _HEADERS
        self._packer = zlib.compressobj(wbits=_HEADERS[script.encoding]) if packs else None

    def head(self) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\n"
        )
        if self._script.encoding != "identity":
            head += b"content-encoding: %s\r\n" % self._script.encoding.encode()
        at_once = self._script.role_ms is not None or self._script.fault in ("pings", "huge-line")
        self.due_ms = (self._script.role_ms or 0.0) if at_once else self._script.first_token_ms
        self.raw(head + b"\r\n")
        if self.chat:
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            prompt: dict[str, Any] = {"prompt_token_ids": PROMPT} if self._script.prompt_ids else {}
            self.chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], **prompt)

    def chunk(
        self, choices: list[dict[str, Any]], *, tokens: int = 0, text: bool = False, **more: Any
    ) -> None:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        body = {"id": "chatcmpl-truth", "object": kind, "created": 1767225600, "model": "truth"}
        data = json.dumps({**body, "choices": choices, **more}, ensure_ascii=False, separators=(",", ":"))
        self.event(data.encode(), tokens=tokens, text=text)

    def event(self, data: bytes, *, tokens: int = 0, text: bool = False, then: str = "next") -> None:
        end = self._line_end
        comment = b": ping" + end + end if self._script.comments else b""
        whole = comment + b"data: " + data + end + end
        if self._packer is not None:
            whole = self._packer.compress(whole) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        step = self._script.split or len(whole)
        tail = 0 if self._packer is None else _MARKS
        *before, last = range(0, max(1, len(whole) - tail), step)
        for at in before:
            self.raw(_framed(whole[at : at + step]))
            self.due_ms += self._script.split_ms
        self.writes.append(Write(self.due_ms, _framed(whole[last:]), tokens, text, then))

    def raw(self, data: bytes, then: str = "next") -> None:
        self.writes.append(Write(self.due_ms, data, then=then))

    def last_chunk(self) -> bytes:
        """What ends the body: the end of what is packed, where it is, and the chunk of no bytes."""
        packed = b"" if self._packer is None else _framed(self._packer.flush())
        return packed + _LAST_CHUNK


def _tokens(answer: _Answer, script: Script, count: int) -> None:
    begin = 0
    while begin < count:
        size = min(script.per_event, count - begin)
        started = begin - begin % (script.per_event * script.burst)
        answer.due_ms = max(answer.due_ms, script.first_token_ms + started * script.interval_ms)
        choice, text = _choice(script, range(begin, begin + size), count, chat=answer.chat)
        begin += size
        if script.content_only and not (choice.get("text") or choice.get("delta", {}).get("content")):
            continue
        more = {"usage": _usage(script, begin)} if script.running_usage else {}
        answer.chunk([choice], tokens=size, text=text, **more)


def _choice(script: Script, places: range, count: int, *, chat: bool) -> tuple[dict[str, Any], bool]:
    shown: dict[str, str] = {}
    for place in places:
        where = _where(script.text, place, count)
        if where:
            shown[where] = shown.get(where, "") + _WORDS[place % len(_WORDS)]
    ids = {"token_ids": [1000 + place for place in places]} if script.ids else {}
    if chat:
        return {"index": 0, "delta": shown, "logprobs": None, "finish_reason": None, **ids}, bool(shown)
    text = "".join(shown.values())
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": None, **ids}, bool(text)


def _where(text: str, place: int, count: int) -> str:
    if text == "harmony":
        if place < _HIDDEN:
            return ""
        return "reasoning" if place < count // 2 else "content"
    return "" if text == "none" else text


def _end(answer: _Answer, script: Script, total: int) -> None:
    if script.fault != "no-finish":
        ids: dict[str, Any] = {"token_ids": []} if script.ids else {}
        piece: dict[str, Any] = {"delta": {}} if answer.chat else {"text": ""}
        answer.chunk([{"index": 0, **piece, "logprobs": None, "finish_reason": "length", **ids}])
    answer.due_ms += script.usage_ms
    if script.fault != "no-usage":
        answer.chunk([], usage=_usage(script, total))
    if script.fault != "no-done":
        answer.event(b"[DONE]")
    if script.fault == "no-end":
        answer.raw(b"", "stall")
    else:
        answer.raw(answer.last_chunk(), "end")


def _usage(script: Script, tokens: int) -> dict[str, int]:
    prompt = len(PROMPT) if script.prompt_ids else script.prompt_tokens
    counts = {"prompt_tokens": prompt, "completion_tokens": tokens}
    return {**counts, "total_tokens": sum(counts.values())}


def _held(writes: Sequence[Write], size: int) -> Iterator[Write]:
    """The writes, each held back until so many bytes wait; what ends or breaks the answer lets all go.

    What is let go at once is one chunk, as a proxy writes it.
    """
    if not size:
        yield from writes
        return
    held: list[Write] = []
    for write in writes:
        held.append(write)
        if write.then != "next" or sum(len(each.data) for each in held) >= size:
            yield Write(
                write.due_ms,
                _one_chunk(b"".join(each.data for each in held)),
                sum(each.tokens for each in held),
                any(each.text for each in held),
                write.then,
            )
            held = []


def _one_chunk(data: bytes) -> bytes:
    """The same bytes in one chunk, behind the head and before the last chunk, where they are among them."""
    head, mark, rest = data.partition(b"\r\n\r\n") if data.startswith(b"HTTP/") else (b"", b"", data)
    body, size = b"", -1
    while rest and size:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        body, rest = body + rest[:size], rest[size + 2 :]
    return head + mark + (_framed(body) if body else b"") + (_LAST_CHUNK if size == 0 else b"")


def _break(answer: _Answer, fault: str, total: int) -> None:
    if fault == "error-event":
        answer.event(b'{"error":{"message":"the engine died","type":"InternalServerError","code":500}}')
        answer.event(b"[DONE]")
        answer.raw(_LAST_CHUNK, "end")
    elif fault == "pings":
        answer.due_ms += 20
        answer.raw(_framed(b": ping\n\n"), "repeat")
    elif fault == "endless-body":
        answer.raw(_framed(b": " + _STUFFING + b"\n\n"), "repeat")
    elif fault == "huge-line":
        answer.raw(_framed(b"data: "))
        answer.raw(_framed(_STUFFING), "repeat")
    elif fault == "excess":
        _tokens(answer, Script(first_token_ms=answer.due_ms, interval_ms=0), 2 * total + 1)
        answer.raw(_LAST_CHUNK, "end")
    else:
        answer.raw(b"", fault)


def _no_answer(fault: str) -> tuple[Write, ...]:
    if fault == "silence":
        return (Write(0.0, b"", then="stall"),)
    return (
        Write(0.0, b"HTTP/1.1 200 OK\r\n"),
        Write(0.0, b"x-more: " + _STUFFING[:8000] + b"\r\n", then="repeat"),
    )


def _refusal(status: int) -> bytes:
    phrase = {429: "Too Many Requests", 503: "Service Unavailable"}.get(status, "Error")
    body = json.dumps({"error": {"message": f"scripted {phrase}", "type": phrase, "code": status}}).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
