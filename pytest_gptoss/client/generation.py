"""Greedy answers, streamed: request bodies for chat and completions, and their events put together.

Streaming is for the waits' sake: the first token and each gap have a bound of their own. Field
places differ between servers and versions; this module looks in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_gptoss.client.bodies import condense, refusal_text
from pytest_gptoss.client.logprobs import chosen_logprobs, token_id_named, token_ids, top_logprobs
from pytest_gptoss.errors import DialectError, StreamError
from pytest_gptoss.records import FloatArray, Generation, Json, Message, ToolCall, TopLogprobs

__all__ = ["HARMONY_STOP_TOKENS", "StreamedGeneration", "chat_body", "completion_body", "estimated_tokens"]

HARMONY_STOP_TOKENS = (200002, 200012)
"""``<|return|>`` and ``<|call|>``: chat stops at both by itself, completions must be told."""

_WHAT = "logprobs"


def chat_body(messages: Sequence[Message], *, max_tokens: int, top: int | None) -> dict[str, Json]:
    """Ask for a greedy, streamed chat answer; ``top`` None asks for no log-probabilities."""
    chosen = {} if top is None else {"logprobs": True, "top_logprobs": top}
    sent = [{"role": message.role, "content": message.content} for message in messages]
    return {"messages": sent, **_greedy(max_tokens), **chosen}


def completion_body(prompt: Sequence[int], *, max_tokens: int, top: int | None) -> dict[str, Json]:
    """Ask for a greedy, streamed completion of token ids, ending where a chat answer ends."""
    chosen = {} if top is None else {"logprobs": top}
    stop = list(HARMONY_STOP_TOKENS)
    return {"prompt": list(prompt), **_greedy(max_tokens), "stop_token_ids": stop, **chosen}


def _greedy(max_tokens: int) -> dict[str, Json]:
    return {
        "max_tokens": max_tokens,
        "temperature": 0,
        "top_p": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Guess a chat prompt's tokens, generously: one for every 3 bytes of UTF-8, and 100 of frame."""
    return 100 + sum(len(message.content.encode("utf-8", "replace")) // 3 for message in messages)


@dataclass(frozen=True, slots=True)
class _Step:
    """One generated token's log-probability and the alternatives, as the server wrote them."""

    token: Json
    logprob: Json
    alternatives: list[tuple[Json, Json]]


@dataclass
class StreamedGeneration:
    """Collects the events of one streamed answer, chat or completions.

    Feed each event's data to ``take``; ``finished`` gives the record. ``max_tokens`` bounds what a
    server that ignores it can send.
    """

    max_tokens: int
    _prompt_ids: tuple[int, ...] | None = None
    _ids: list[int] | None = None
    _reasoning: list[str] = field(default_factory=list)
    _content: list[str] = field(default_factory=list)
    _tools: dict[int, list[str]] = field(default_factory=dict)
    _steps: list[_Step] | None = None
    _finish_reason: str | None = None
    _usage: tuple[int, int] | None = None
    _token_events: int = 0

    def take(self, data: str) -> bool:
        """Add one event; whether it carried a token.

        Raises StreamError for an error event or one that is no JSON object, DialectError for a
        field of another type than vLLM's or more tokens than were asked for.
        """
        chunk = _chunk(data)
        if chunk.get("prompt_token_ids"):
            self._prompt_ids = token_ids(chunk["prompt_token_ids"], "prompt_token_ids")
        if chunk.get("usage"):
            self._usage = _usage(chunk["usage"])
        carried = False
        for choice in _list(chunk, "choices"):
            _expect(choice, dict, "choices[]")
            if choice.get("index", 0) == 0:
                carried |= self._take_choice(choice)
        self._token_events += carried
        self._refuse_excess()
        return carried

    def finished(self, *, prompt_id: str, top: int | None, done: bool) -> Generation:
        """Put the answer together; ``done`` says whether ``[DONE]`` came.

        Raises StreamError when an end mark is missing, DialectError when counts disagree or a
        log-probability is no finite number.
        """
        if self._finish_reason is None or self._usage is None or not done:
            raise StreamError(self._lacking(done=done))
        prompt_tokens, completion_tokens = self._usage
        ids = self._checked_ids(completion_tokens)
        logprobs, table = self._checked_logprobs(ids, top)
        return Generation(
            prompt_id=prompt_id,
            prompt_token_ids=self._prompt_ids,
            token_ids=ids,
            reasoning=_joined(self._reasoning),
            content=_joined(self._content),
            tool_calls=tuple(
                ToolCall(name, _joined(arguments)) for _, (name, *arguments) in sorted(self._tools.items())
            ),
            finish_reason=self._finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            logprobs=logprobs,
            top=table,
        )

    def _take_choice(self, choice: dict[str, Json]) -> bool:
        delta = choice.get("delta") or {}
        _expect(delta, dict, "delta")
        if choice.get("prompt_token_ids"):
            self._prompt_ids = token_ids(choice["prompt_token_ids"], "prompt_token_ids")
        ids = self._take_ids(choice, delta)
        reasoning = _text(delta, "reasoning") or _text(delta, "reasoning_content")
        content = _text(delta, "content") or _text(choice, "text")
        self._reasoning.append(reasoning)
        self._content.append(content)
        called = self._take_tools(_list(delta, "tool_calls"))
        if choice.get("logprobs"):
            self._steps = (self._steps or []) + _steps(choice["logprobs"])
        if choice.get("finish_reason"):
            self._finish_reason = str(choice["finish_reason"])
        return bool(ids or reasoning or content or called)

    def _take_ids(self, choice: dict[str, Json], delta: dict[str, Json]) -> bool:
        for place in (choice, delta):
            if place.get("token_ids") is not None:
                self._ids = (self._ids or []) + list(token_ids(place["token_ids"], "token_ids"))
                return bool(place["token_ids"])
        return False

    def _take_tools(self, deltas: list[Json]) -> bool:
        for delta in deltas:
            _expect(delta, dict, "tool_calls[]")
            index = delta.get("index", 0)
            _expect(index, int, "tool_calls[].index")
            function = delta.get("function") or {}
            _expect(function, dict, "tool_calls[].function")
            call = self._tools.setdefault(index, [""])
            call[0] = call[0] or _text(function, "name")
            call.append(_text(function, "arguments"))
        return bool(deltas)

    def _refuse_excess(self) -> None:
        # One token can show in two events (the end of reasoning and the start of content), not in more.
        if len(self._ids or ()) > self.max_tokens or self._token_events > 2 * self.max_tokens + 16:
            raise DialectError(
                f"more tokens came than max_tokens {self.max_tokens} allows: "
                "the server does not heed max_tokens"
            )

    def _lacking(self, *, done: bool) -> str:
        marks = {
            "finish_reason": self._finish_reason is not None,
            "usage": self._usage is not None,
            "[DONE]": done,
        }
        missing = [name for name, there in marks.items() if not there]
        advice = (
            "the server must heed stream_options.include_usage"
            if missing == ["usage"]
            else "the server or a proxy cut it; see the server's log"
        )
        listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
        return f"the stream ended without {listed}, after {self._token_events} events with tokens: {advice}"

    def _checked_ids(self, completion_tokens: int) -> tuple[int, ...] | None:
        if self._ids is None and completion_tokens:
            return self._ids_of_logprobs(completion_tokens)
        ids = tuple(self._ids or ())
        if len(ids) != completion_tokens:
            raise DialectError(
                f"{len(ids)} token ids came, but usage counts {completion_tokens} completion tokens: "
                "the stream lost tokens or the server miscounts; neither can be compared"
            )
        return ids

    def _ids_of_logprobs(self, completion_tokens: int) -> tuple[int, ...] | None:
        """Ids by way of ``token_id:N``, for servers older than ``return_token_ids``."""
        named = [token_id_named(step.token) for step in self._steps or ()]
        ids = tuple(each for each in named if each is not None)
        return ids if len(ids) == len(named) == completion_tokens else None

    def _checked_logprobs(
        self, ids: tuple[int, ...] | None, top: int | None
    ) -> tuple[FloatArray | None, TopLogprobs | None]:
        if self._steps is None or top is None or ids is None:
            # Without ids the rows belong to no known tokens: 0.18.1 leaves header tokens out of them.
            return None, None
        if len(self._steps) != len(ids):
            raise DialectError(
                f"{len(self._steps)} log-probabilities came for {len(ids)} tokens: expected one a token"
            )
        for place, (step, expected) in enumerate(zip(self._steps, ids, strict=True)):
            named = token_id_named(step.token)
            if named is not None and named != expected:
                raise DialectError(
                    f"the log-probability at position {place} is that of token {named}, "
                    f"but token_ids say {expected}: the server's stream is out of step"
                )
        logprobs = chosen_logprobs([step.logprob for step in self._steps], _WHAT)
        return logprobs, _table(self._steps, top)


def _table(steps: list[_Step], top: int) -> TopLogprobs | None:
    ids = [token_id_named(token) for step in steps for token, _ in step.alternatives]
    known = [each for each in ids if each is not None]
    if len(known) != len(ids):
        # The server names tokens by their text, and texts that are alike collide.
        return None
    return top_logprobs(
        [len(step.alternatives) for step in steps],
        known,
        [logprob for step in steps for _, logprob in step.alternatives],
        k=top,
        what="top_logprobs",
    )


def _steps(logprobs: Json) -> list[_Step]:
    """Both forms: chat's list of entries, and completions' three parallel lists."""
    try:
        if "content" in logprobs:
            return [
                _Step(
                    entry["token"],
                    entry["logprob"],
                    [(each["token"], each["logprob"]) for each in entry.get("top_logprobs") or ()],
                )
                for entry in logprobs["content"] or ()
            ]
        tables = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
        return [
            _Step(token, logprob, list((table or {}).items()))
            for token, logprob, table in zip(
                logprobs["tokens"], logprobs["token_logprobs"], tables, strict=True
            )
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DialectError(
            f"logprobs are {condense(repr(logprobs), 120)}: neither chat's form nor completions'"
        ) from None


def _chunk(data: str) -> dict[str, Json]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        chunk = None
    if not isinstance(chunk, dict):
        raise StreamError(
            f"an event holds {condense(data, 120)!r}: expected a JSON object; does a proxy meddle?"
        )
    if chunk.get("error") or chunk.get("object") == "error":
        raise StreamError(f"the stream carries an error ({refusal_text(chunk)}): see the server's log")
    return chunk


def _usage(usage: Json) -> tuple[int, int]:
    _expect(usage, dict, "usage")
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens", 0))
    for count in counts:
        _expect(count, int, "usage's counts")
    return counts


def _list(place: dict[str, Json], name: str) -> list[Json]:
    value = place.get(name) or []
    _expect(value, list, name)
    return list(value)


def _text(place: dict[str, Json], name: str) -> str:
    value = place.get(name) or ""
    _expect(value, str, name)
    return str(value)


def _expect(value: Json, kind: type, name: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DialectError(f"{name} is {condense(repr(value), 60)}: expected {kind.__name__}")


def _joined(parts: Sequence[str]) -> str:
    """Join the text; halves of a surrogate pair that came apart meet again, single ones replaced."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
