"""What goes wrong between a server and its client, as handlers for the proxy.

A fault strikes one in ``every`` answers of several tokens; all else passes as it came. ``sound`` ones are
odd, not wrong: a suite that turns red over them cries wolf.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from detection.proxy import Exchange, Handler, Reset, generates, pass_on

__all__ = ["FAULTS", "Fault", "other_vocabulary", "replicas"]

Change: TypeAlias = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]

AFTER = 3
"""A fault in mid-stream comes after so many events."""

LATE_S = 2.0
"""Past the embedded limit of the first token."""

STALL_S = 5.0
OTHER_TOKEN_EVERY = 1000
BURST = 4
LONG_PROMPT = 600
"""Characters: the embedded needle cells have more, the short questions fewer."""
LESS_LIKELY = 0.3
"""Nats by which answers from a coarse cache differ: three times what is allowed."""
EXCLAMATION_MARK = 0
"""The token that stands for an argmax over NaN."""


@dataclass(frozen=True)
class Fault:
    """A fault by name; ``make`` gives a handler with a memory of its own.

    ``said`` are words of the client's about an answer it refuses for this fault; empty: it takes the answer.
    ``scores``: it strikes scores of given tokens too.
    """

    name: str
    explanation: str
    make: Callable[[], Handler]
    said: str = ""
    sound: bool = False
    every: int = 10
    scores: bool = False

    def handler(self) -> Handler:
        """Strike one in ``every`` answers of several tokens (or scores), beginning with the second."""
        strike, seen = self.make(), 0

        async def handle(exchange: Exchange) -> None:
            nonlocal seen
            if not (generates(exchange) or (self.scores and _scores(exchange))):
                await pass_on(exchange)
                return
            seen += 1
            await (strike(exchange) if seen % self.every == 2 % self.every else pass_on(exchange))

        return handle


def other_vocabulary() -> Handler:
    """Tokenize as a model of another family does."""

    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/tokenize":
            body = json.dumps({"tokens": [128006, 882, 128007, 791], "count": 4}).encode()
            await exchange.answer(200, {"content-type": "application/json"}, body)
        else:
            await pass_on(exchange)

    return handle


def replicas() -> Handler:
    """Tell two starts in turn, as two replicas behind one address do. It is sound, and not one server."""
    starts = itertools.cycle((1795355900.25, 1795359500.5))

    async def handle(exchange: Exchange) -> None:
        if exchange.path != "/metrics":
            await pass_on(exchange)
            return
        told = await exchange.ask()
        lines = (await told.aread()).decode().splitlines()
        kept = [line for line in lines if not line.startswith("process_start_time_seconds")]
        body = "\n".join([*kept, f"process_start_time_seconds {next(starts)}", ""]).encode()
        await exchange.answer(told.status_code, {"content-type": "text/plain"}, body)
        await told.aclose()

    return handle


def _changing(change: Change) -> Callable[[], Handler]:
    async def handle(exchange: Exchange) -> None:
        await pass_on(exchange, change)

    return lambda: handle


def _answering(status: int, content_type: str, body: str, **headers: str) -> Callable[[], Handler]:
    async def handle(exchange: Exchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await exchange.answer(status, {"content-type": content_type, **named}, body.encode())

    return lambda: handle


def _scores(exchange: Exchange) -> bool:
    """Whether a request asks for its prompt's scores, as measuring does; probing asks for one a token."""
    if exchange.method != "POST" or not exchange.path.endswith("/completions"):
        return False
    return int(exchange.json.get("prompt_logprobs") or 0) > 1


def _data(event: bytes) -> Any:
    """An event's JSON, None for ``[DONE]`` and comments."""
    text = event.strip().removeprefix(b"data:").strip()
    return json.loads(text) if text.startswith(b"{") else None


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _ids(data: Any) -> list[int]:
    """The token ids of an event's first choice."""
    choices = (data or {}).get("choices") or [{}]
    return list(choices[0].get("token_ids") or ())


# -- streams that are not whole -----------------------------------------------------------------


async def _without_done(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        if b"[DONE]" not in event:
            yield event


async def _cut(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body ends in good order, only too early: what a proxy with a limit of its own does."""
    count = 0
    async for event in events:
        if count < AFTER:
            yield event
        count += 1


async def _reset(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    count = 0
    async for event in events:
        if count == AFTER:
            raise Reset
        yield event
        count += 1


async def _error_event(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    count = 0
    async for event in events:
        if count == AFTER:
            yield _event({"error": {"message": "EngineCore encountered an issue", "code": 500}})
            yield b"data: [DONE]\n\n"
        elif count < AFTER:
            yield event
        count += 1


async def _without_usage(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        data = _data(event)
        if not (data and data.get("usage") and not data.get("choices")):
            yield event


async def _wrong_usage(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        data = _data(event)
        if data and data.get("usage"):
            data["usage"]["completion_tokens"] += 1
            yield _event(data)
        else:
            yield event


async def _duplicated(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    count = 0
    async for event in events:
        yield event
        count += len(_ids(_data(event))) > 0
        if count == AFTER:
            count += 1
            yield event


async def _swallowed(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    count = 0
    async for event in events:
        count += len(_ids(_data(event))) > 0
        if count == AFTER:
            count += 1
        else:
            yield event


# -- streams that are odd, and whole --------------------------------------------------------------


async def _together(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Two events' tokens in one, as a server under load sends them."""
    held: Any = None
    async for event in events:
        data = _data(event)
        if held is None:
            if _ids(data):
                held = data
            else:
                yield event
        elif _ids(data) and not data["choices"][0].get("finish_reason"):
            yield _event(_joined(held, data))
            held = None
        else:
            yield _event(held)
            yield event
            held = None


def _joined(first: Any, second: Any) -> Any:
    one, two = first["choices"][0], second["choices"][0]
    one["token_ids"] += two["token_ids"]
    for name in ("reasoning", "content"):
        text = (one["delta"].get(name) or "") + (two["delta"].get(name) or "")
        one["delta"].update({name: text} if text else {})
    if one.get("logprobs"):
        one["logprobs"]["content"] += two["logprobs"]["content"]
    return first


async def _split_inside_a_character(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        if _data(event) is None:
            yield event
            continue
        raw = _event(_data(event))
        place = next((at for at, byte in enumerate(raw) if byte & 0xC0 == 0x80), len(raw) // 2)
        yield raw[:place]
        await asyncio.sleep(0)
        yield raw[place:]


async def _crlf(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        yield event.replace(b"\n", b"\r\n")


async def _comments(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        yield b": ping\n\n" + event


async def _late(exchange: Exchange) -> None:
    """The request is held back: of a quick server, a stream held back would be a buffered one."""
    await asyncio.sleep(LATE_S)
    await pass_on(exchange)


async def _stalling(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    count = 0
    async for event in events:
        if count == AFTER:
            await asyncio.sleep(STALL_S)
        yield event
        count += 1


def _coarse_cache() -> Handler:
    """Answers under a cache salt that came before have other log-probabilities, and the same tokens."""
    salts: set[str] = set()

    async def handle(exchange: Exchange) -> None:
        salt = str(exchange.json.get("cache_salt") or "")
        served = salt in salts
        salts.update([salt] if salt else [])
        await pass_on(exchange, _less_likely if served else None)

    return handle


async def _less_likely(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        data = _data(event)
        logprobs = ((data or {}).get("choices") or [{}])[0].get("logprobs") or {}
        if data is None or "token_logprobs" not in logprobs:
            yield event
        else:
            logprobs["token_logprobs"] = [each - LESS_LIKELY for each in logprobs["token_logprobs"]]
            yield _event(data)


def _packed() -> Handler:
    async def handle(exchange: Exchange) -> None:
        response = await exchange.ask()
        body = gzip.compress(await response.aread())
        kind = response.headers["content-type"]
        await exchange.answer(response.status_code, {"content-type": kind, "content-encoding": "gzip"}, body)

    return handle


def _closing() -> Handler:
    async def handle(exchange: Exchange) -> None:
        exchange.keep = False
        await pass_on(exchange)

    return handle


# -- refusals -------------------------------------------------------------------------------------


def _bursting() -> Handler:
    """Several answers of 500 in a row, then none for a while."""
    seen = 0

    async def handle(exchange: Exchange) -> None:
        nonlocal seen
        seen += 1
        if seen % (4 * BURST) <= BURST and seen % (4 * BURST):
            said = b'{"error": {"message": "Internal Server Error", "code": 500}}'
            await exchange.answer(500, {"content-type": "application/json"}, said)
        else:
            await pass_on(exchange)

    return handle


# -- answers that are whole, and wrong --------------------------------------------------------------


def _other_token() -> Handler:
    """One token id in a thousand is another one, in ids and logprobs alike; the text is left as it was."""
    count = 0

    async def change(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal count
        async for event in events:
            data, struck = _data(event), False
            for place, token in enumerate(_ids(data)):
                count += 1
                if count % OTHER_TOKEN_EVERY == 60:
                    struck = True
                    _rename(data["choices"][0], place, token, token ^ 1)
            yield _event(data) if struck else event

    async def handle(exchange: Exchange) -> None:
        await pass_on(exchange, change)

    return handle


def _rename(choice: Any, place: int, old: int, new: int) -> None:
    choice["token_ids"][place] = new
    entries = (choice.get("logprobs") or {}).get("content") or ()
    if entries:
        entries[place]["token"] = f"token_id:{new}"
        for other in entries[place].get("top_logprobs") or ():
            if other["token"] == f"token_id:{old}":
                other["token"] = f"token_id:{new}"


async def _shifted_logprobs(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each token has the log-probability of the one before it."""
    before = -1.0
    async for event in events:
        data = _data(event)
        for choice in (data or {}).get("choices") or ():
            for entry in (choice.get("logprobs") or {}).get("content") or ():
                before, entry["logprob"] = entry["logprob"], before
        yield event if data is None else _event(data)


def _without_logprobs(value: float, *, alternatives: bool) -> Callable[[], Handler]:
    """One number in the place of every log-probability, in answers and in scores."""

    async def change(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for event in events:
            data = _data(event)
            for choice in (data or {}).get("choices") or ():
                for entry in (choice.get("logprobs") or {}).get("content") or ():
                    others = entry.get("top_logprobs") or () if alternatives else ()
                    entry.update(
                        logprob=value, top_logprobs=[{**other, "logprob": value} for other in others]
                    )
            yield event if data is None else _event(data)

    async def handle(exchange: Exchange) -> None:
        if not _scores(exchange):
            await pass_on(exchange, change)
            return
        response = await exchange.ask()
        answer = json.loads(await response.aread())
        for choice in answer.get("choices") or ():
            rows = zip(exchange.json["prompt"], choice.get("prompt_logprobs") or (), strict=False)
            choice["prompt_logprobs"] = [
                row and {name: {**entry, "logprob": value} for name, entry in row.items()
                         if alternatives or name == str(token)}
                for token, row in rows
            ]  # fmt: skip
        kind = response.headers["content-type"]
        await exchange.answer(response.status_code, {"content-type": kind}, json.dumps(answer).encode())

    return lambda: handle


async def _channel_words(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A header that has lost its brackets stands before the first text."""
    struck = False
    async for event in events:
        data = _data(event)
        for choice in (data or {}).get("choices") or ():
            for name, words in (("reasoning", "assistantanalysis"), ("content", "assistantfinal")):
                if not struck and (choice.get("delta") or {}).get(name):
                    choice["delta"][name] = words + choice["delta"][name]
                    struck = True
        yield _event(data) if data else event


def _of_another_request() -> Handler:
    """The answer of the request before, whole: what a server does that mixes two of them up."""
    earlier: list[bytes] = []

    async def handle(exchange: Exchange) -> None:
        response = await exchange.ask()
        body, kind = await response.aread(), response.headers["content-type"]
        earlier.append(body)
        await exchange.answer(response.status_code, {"content-type": kind}, earlier[max(0, len(earlier) - 2)])

    return handle


def _cached_by(key: Callable[[Any], str]) -> Callable[[], Handler]:
    """Answers kept and given again for a request with the same key."""

    def make() -> Handler:
        kept: dict[str, tuple[str, bytes]] = {}

        async def handle(exchange: Exchange) -> None:
            name = key(exchange.json)
            if name not in kept:
                response = await exchange.ask()
                kept[name] = response.headers["content-type"], await response.aread()
            kind, body = kept[name]
            await exchange.answer(200, {"content-type": kind}, body)

        return handle

    return make


def _whole_question(body: Any) -> str:
    return json.dumps([body.get("messages") or body.get("prompt"), body["max_tokens"], body.get("logprobs")])


def _first_words(body: Any) -> str:
    asked = body.get("messages")
    return str(asked[-1]["content"])[:6] if asked else str(body.get("prompt"))[:40]


def _last_words(body: Any) -> str:
    asked = body.get("messages")
    return str(asked[-1]["content"] if asked else body.get("prompt"))[-40:]


# -- answers whose text is not what was generated, or that are none ---------------------------------


def _deltas(data: Any) -> list[dict[str, Any]]:
    """The deltas of a chat event; a completion has none."""
    return [choice["delta"] for choice in (data or {}).get("choices") or () if choice.get("delta")]


async def _without_content(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a parser does that loses the final channel: the ids come, their text does not."""
    async for event in events:
        data = _data(event)
        for delta in _deltas(data):
            if delta.get("content"):
                delta["content"] = None
        yield event if data is None else _event(data)


async def _call_in_content(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        data = _data(event)
        for delta in _deltas(data):
            pieces = [call["function"].get("arguments") or "" for call in delta.get("tool_calls") or ()]
            if pieces:
                delta["content"] = "".join(pieces)
        yield event if data is None else _event(data)


def _garbage_when_long() -> Handler:
    """One token to the end, and no text: what a device answers that computes long prompts wrongly."""

    async def handle(exchange: Exchange) -> None:
        asked = exchange.json
        prompt = (asked.get("messages") or [{}])[-1].get("content") or ""
        long = len(prompt) > LONG_PROMPT
        await pass_on(exchange, partial(_exclaiming, tokens=int(asked["max_tokens"])) if long else None)

    return handle


async def _exclaiming(events: AsyncIterator[bytes], *, tokens: int) -> AsyncIterator[bytes]:
    struck = False
    async for event in events:
        data = _data(event)
        if data and data.get("usage") and not data.get("choices"):
            data["usage"].update(completion_tokens=tokens)
            yield _event(data)
        elif not _ids(data):
            yield event
        elif not struck:
            struck = True
            choice = data["choices"][0]
            choice.update(delta={}, token_ids=[EXCLAMATION_MARK], logprobs=None, finish_reason=None)
            for _ in range(tokens - 1):
                yield _event(data)
            choice["finish_reason"] = "length"
            yield _event(data)


MISCOUNTED = "token ids came, but usage counts"

_TABLE = (
    Fault("dropped-done", "[DONE] does not come", _changing(_without_done), "ended without [DONE]"),
    Fault("cut-stream", f"the stream ends in good order after {AFTER} events", _changing(_cut),
          "ended without finish_reason, usage and [DONE]"),
    Fault("error-event", "an error event in mid-stream, under status 200", _changing(_error_event),
          "carries an error (EngineCore"),
    Fault("missing-usage", "no usage at the end", _changing(_without_usage), "ended without usage"),
    Fault("wrong-usage", "usage counts one token more than came", _changing(_wrong_usage), MISCOUNTED),
    Fault("duplicated-chunk", "one chunk comes twice", _changing(_duplicated), MISCOUNTED),
    Fault("swallowed-chunk", "one chunk does not come", _changing(_swallowed), MISCOUNTED),
    Fault("connection-reset", f"the connection breaks after {AFTER} events", _changing(_reset),
          "closed in mid-stream"),
    Fault("status-429", "429 with Retry-After: 1",
          _answering(429, "application/json", '{"error": {"message": "slow down"}}', retry_after="1"),
          "answered 429"),
    Fault("status-500-bursts", f"{BURST} answers of 500 in a row", _bursting, "answered 500", every=1),
    Fault("html-page", "a proxy's page under status 502",
          _answering(502, "text/html", "<html><h1>502 Bad Gateway</h1>nginx</html>"),
          "a web page: 502 Bad Gateway nginx"),
    Fault("swapped-answers", "the answer of another request", _of_another_request),
    Fault("other-token", f"one token id in {OTHER_TOKEN_EVERY} is another", _other_token, every=1),
    Fault("shifted-logprobs", "log-probabilities stand one token late", _changing(_shifted_logprobs),
          every=1),
    Fault("sentinel-logprobs", "log-probabilities that are NaN come as -9999.0, in answers and scores",
          _without_logprobs(-9999.0, alternatives=True), "is -9999.0", scores=True),
    Fault("zero-logprobs", "log-probabilities come as 0.0 without alternatives, in answers and scores",
          _without_logprobs(0.0, alternatives=False), every=1, scores=True),
    Fault("similar-cache", "answers from a cache that takes questions with like beginnings for one",
          _cached_by(_first_words), every=1),
    Fault("question-cache", "answers from a cache that takes questions with like ends for one",
          _cached_by(_last_words), every=1),
    Fault("coarse-cache", "the prefix cache is less exact: other log-probabilities, the same tokens",
          _coarse_cache, every=1),
    Fault("channel-words", "a channel header without brackets stands in the text", _changing(_channel_words)),
    Fault("lost-content", "the final channel's text is lost, its token ids come", _changing(_without_content),
          every=1),
    Fault("call-in-content", "a streamed tool call's arguments stand in the content too",
          _changing(_call_in_content), every=1),
    Fault("garbage-when-long", f"one token to the end, no text, to prompts of over {LONG_PROMPT} characters",
          _garbage_when_long, every=1),
    Fault("slow-first-byte", f"the first byte comes {LATE_S:g} s late", lambda: _late, every=1),
    Fault("stall", f"a stream stands still for {STALL_S:g} s and goes on", _changing(_stalling)),
    Fault("tokens-together", "two tokens a chunk", _changing(_together), sound=True, every=1),
    Fault("split-character", "events split inside a UTF-8 character", _changing(_split_inside_a_character),
          sound=True, every=1),
    Fault("crlf", "lines end in CRLF", _changing(_crlf), sound=True, every=1),
    Fault("comments", "a comment before every event", _changing(_comments), sound=True, every=1),
    Fault("gzip", "the answer comes packed, though it was not asked for", _packed, sound=True, every=1),
    Fault("keep-alive-closed", "the connection is closed after every answer", _closing, sound=True, every=1),
    Fault("same-cache", "the same question is answered from a cache", _cached_by(_whole_question),
          sound=True, every=1),
)  # fmt: skip

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _TABLE})
"""Every fault by its name."""
