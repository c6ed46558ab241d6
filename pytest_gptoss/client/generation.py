"""Greedy answers, streamed: request bodies for chat and completions, and answers assembled from events.

They are streamed so that the waits for the first token and for each next one can be bounded separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.logprobs import chosen_logprobs, token_id_named, top_logprobs
from pytest_gptoss.client.stream_checks import (
    require_count,
    require_end,
    require_no_excess,
    require_prompt_count,
)
from pytest_gptoss.client.stream_event import StreamEvent, Usage, read_event
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.gptoss import CALL, RETURN
from pytest_gptoss.model.inputs import Message
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, ToolCall, TopLogprobs

__all__ = [
    "HARMONY_STOP_TOKENS",
    "StreamedGeneration",
    "chat_body",
    "completion_body",
    "estimated_tokens",
    "prompt_only",
]

HARMONY_STOP_TOKENS: tuple[int, ...] = (RETURN, CALL)
"""``<|return|>`` and ``<|call|>``: chat stops at both by itself, completions only when asked to."""

_WHAT = "logprobs"
_LONGEST_WORD = 256
"""Most bytes of a token's text that are kept for reports; none is kept of a longer one."""
_NO_CHARACTER = "\ufffd"


def chat_body(messages: Sequence[Message], *, max_tokens: int, top: int | None) -> dict[str, Json]:
    """The body of a request for a greedy, streamed chat answer; ``top`` None: no log-probabilities."""
    chosen = {} if top is None else {"logprobs": True, "top_logprobs": top}
    sent = [{"role": message.role, "content": message.content} for message in messages]
    return {"messages": sent, **_greedy(max_tokens), **chosen}


def completion_body(prompt: Sequence[int], *, max_tokens: int, top: int | None) -> dict[str, Json]:
    """The body of a request for a greedy, streamed completion that ends where a chat answer ends."""
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
    """An upper estimate of a chat prompt's tokens: one for every 3 bytes of UTF-8, and 100 of frame."""
    return 100 + sum(len(message.content.encode("utf-8", "replace")) // 3 for message in messages)


def prompt_only(
    prompt_id: str, prompt_token_ids: tuple[int, ...] | None, *, counted: int | None = None
) -> Generation:
    """The record of a prompt without its answer; ``counted`` is the prompt's length by usage."""
    return Generation(
        prompt_id=prompt_id,
        prompt_token_ids=prompt_token_ids,
        token_ids=None,
        reasoning="",
        content="",
        tool_calls=(),
        finish_reason=None,
        prompt_tokens=len(prompt_token_ids or ()) if counted is None else counted,
        completion_tokens=0,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One generated token's log-probability and the alternatives, as the server wrote them."""

    token: Json
    logprob: Json
    alternatives: list[tuple[Json, Json]]
    spelt: Json = None
    """The bytes of its text, which chat reports even for a token that is named by its id."""


@dataclass
class StreamedGeneration:
    """Assembles one streamed answer, chat or completions, from its events.

    Give each event's data to ``take``; ``finished`` returns the record. ``max_tokens`` bounds what is
    accepted from a server that ignores it.
    """

    max_tokens: int
    _prompt_ids: tuple[int, ...] | None = None
    _ids: list[int] | None = None
    _reasoning: list[str] = field(default_factory=list)
    _content: list[str] = field(default_factory=list)
    _tools: dict[int, list[str]] = field(default_factory=dict)
    _steps: list[_Step] | None = None
    _finish_reason: str | None = None
    _usage: Usage | None = None
    _token_events: int = 0
    _events: int = 0

    def take(self, data: str) -> bool:
        """Add one event; returns whether it carried a token.

        Raises StreamError for an error event, one that is no JSON object, or events without end;
        DialectError for a field of another type than vLLM's or more tokens than were asked for.
        """
        return self.add(read_event(data))

    def add(self, event: StreamEvent) -> bool:
        """Add a parsed event; returns whether it carried a token. Raises as ``take`` does."""
        if event.prompt_ids:
            self._prompt_ids = event.prompt_ids
        if event.usage:
            self._usage = event.usage
        if event.ids is not None:
            self._ids = [] if self._ids is None else self._ids
            self._ids += event.ids
        self._reasoning.append(event.reasoning)
        self._content.append(event.content)
        for place, name, arguments in event.tools:
            call = self._tools.setdefault(place, [""])
            call[0] = call[0] or name
            call.append(arguments)
        if event.logprobs and (steps := _steps(event.logprobs)):
            self._steps = [] if self._steps is None else self._steps
            self._steps += steps
        self._finish_reason = event.finish_reason or self._finish_reason
        self._token_events += event.carries_token
        self._events += 1
        require_no_excess(
            self.max_tokens,
            ids=len(self._ids or ()),
            token_events=self._token_events,
            events=self._events,
        )
        return event.carries_token

    @property
    def prompt_ids(self) -> tuple[int, ...] | None:
        """The prompt's token ids, as soon as the server has sent them; None until then.

        Raises DialectError when usage counts another number of them.
        """
        if self._usage is not None:
            require_prompt_count(self._prompt_ids, self._usage[0])
        return self._prompt_ids

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of the prompt that came from the prefix cache; None where usage does not tell."""
        return None if self._usage is None else self._usage.cached

    def finished(self, *, prompt_id: str, top: int | None, done: bool) -> Generation:
        """The assembled answer; ``done`` says whether ``[DONE]`` came.

        Raises StreamError when an end mark is missing, DialectError when counts disagree or a
        log-probability is no finite number.
        """
        finish_reason, usage = require_end(
            finish_reason=self._finish_reason, usage=self._usage, done=done, token_events=self._token_events
        )
        prompt_tokens, completion_tokens, _ = usage
        require_prompt_count(self._prompt_ids, prompt_tokens)
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
            finish_reason=finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            logprobs=logprobs,
            top=table,
            words=self._words(ids),
        )

    def _words(self, ids: tuple[int, ...] | None) -> tuple[str | None, ...] | None:
        """The tokens' texts as the server reports them; None where it does not report one for each."""
        if ids is None or self._steps is None or len(self._steps) != len(ids):
            return None
        words = tuple(map(_word, self._steps))
        return words if any(each is not None for each in words) else None

    def _checked_ids(self, completion_tokens: int) -> tuple[int, ...] | None:
        if self._ids is None and completion_tokens:
            return self._ids_of_logprobs(completion_tokens)
        ids = tuple(self._ids or ())
        require_count(len(ids), completion_tokens)
        return ids

    def _ids_of_logprobs(self, completion_tokens: int) -> tuple[int, ...] | None:
        """Ids from ``token_id:N`` in the log-probabilities, for servers older than ``return_token_ids``."""
        named = [token_id_named(step.token) for step in self._steps or ()]
        ids = tuple(each for each in named if each is not None)
        return ids if len(ids) == len(named) == completion_tokens else None

    def _checked_logprobs(
        self, ids: tuple[int, ...] | None, top: int | None
    ) -> tuple[FloatArray | None, TopLogprobs | None]:
        if self._steps is None or top is None or ids is None:
            # Without ids it is unknown to which tokens the rows belong: 0.18.1 has none for header tokens.
            return None, None
        if len(self._steps) != len(ids):
            raise DialectError(
                say(
                    "{steps} log-probabilities came for {ids} tokens: expected one a token",
                    steps=len(self._steps),
                    ids=len(ids),
                )
            )
        for place, (step, expected) in enumerate(zip(self._steps, ids, strict=True)):
            named = token_id_named(step.token)
            if named is not None and named != expected:
                raise DialectError(
                    say(
                        "the log-probability at position {place} is that of token {named}, but token_ids "
                        "say {expected}: the server's stream is out of step",
                        place=place,
                        named=named,
                        expected=expected,
                    )
                )
        logprobs = chosen_logprobs([step.logprob for step in self._steps], _WHAT)
        return logprobs, _table(self._steps, top)


def _word(step: _Step) -> str | None:
    """A token's text; None where the server reports none, or incomplete characters."""
    spelt = step.spelt
    if not isinstance(spelt, list) or not 0 < len(spelt) <= _LONGEST_WORD:
        return None
    if not all(type(each) is int and 0 <= each < 256 for each in spelt):
        return None
    word = bytes(spelt).decode("utf-8", "replace")
    return None if _NO_CHARACTER in word or word == step.token else word


def _table(steps: list[_Step], top: int) -> TopLogprobs | None:
    ids = [token_id_named(token) for step in steps for token, _ in step.alternatives]
    known = [each for each in ids if each is not None]
    if len(known) != len(ids):
        # The server names tokens by their text, and different tokens may have the same text.
        return None
    return top_logprobs(
        [len(step.alternatives) for step in steps],
        known,
        [logprob for step in steps for _, logprob in step.alternatives],
        k=top,
        what="top_logprobs",
    )


def _steps(logprobs: Json) -> list[_Step]:
    """The steps from either form: chat's list of entries, or completions' three parallel lists."""
    try:
        if logprobs.get("content") is not None:
            return [
                _Step(
                    entry["token"],
                    entry["logprob"],
                    [(each["token"], each["logprob"]) for each in entry.get("top_logprobs") or ()],
                    entry.get("bytes"),
                )
                for entry in logprobs["content"]
            ]
        known = logprobs.keys() & {"content", "tokens"}
        if known and all(logprobs.get(name) is None for name in ("tokens", "token_logprobs")):
            return []
        tables = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
        return [
            _Step(token, logprob, list((table or {}).items()))
            for token, logprob, table in zip(
                logprobs["tokens"], logprobs["token_logprobs"], tables, strict=True
            )
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DialectError(
            say(
                "logprobs are {logprobs}: neither chat's form nor completions'", logprobs=shown(logprobs, 120)
            )
        ) from None


def _joined(parts: Sequence[str]) -> str:
    """Join texts. Halves of a surrogate pair from two events are combined; single halves are replaced."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
