"""One event of a streamed answer, chat or completions, of any server and version.

Servers and versions put fields in different places; this module looks in all of them. A unary chat answer
is read as one event with everything in it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from pytest_gptoss.client.bodies import cause_of, condense, refusal_text, shown
from pytest_gptoss.client.fields import count_field, dict_field, int_field, list_field, text_field
from pytest_gptoss.client.logprobs import token_ids
from pytest_gptoss.model.errors import ERROR_EVENT, DialectError, StreamError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say

__all__ = ["StreamEvent", "ToolDelta", "Usage", "read_event", "read_unary"]

_LONGEST_FINISH_REASON = 60


class Usage(NamedTuple):
    """The server's counts of tokens; ``cached`` is None where it reports none."""

    prompt: int
    completion: int
    cached: int | None


class ToolDelta(NamedTuple):
    """A piece of the tool call at ``place``."""

    place: int
    name: str
    arguments: str


class StreamEvent(NamedTuple):
    """One event of the first choice. Absent lists are None, absent text is empty."""

    prompt_ids: tuple[int, ...] | None
    ids: tuple[int, ...] | None
    reasoning: str
    content: str
    tools: tuple[ToolDelta, ...]
    logprobs: Json
    finish_reason: str | None
    usage: Usage | None

    @property
    def carries_token(self) -> bool:
        """Whether it shows a generated token; a role or an empty delta does not."""
        return bool(self.ids or self.reasoning or self.content or self.tools)


_NOTHING: dict[str, Json] = {}


def read_event(data: str) -> StreamEvent:
    """The event in one event's data.

    Raises StreamError for an error event or one that is no JSON object, DialectError for a field of
    another type than vLLM's.
    """
    return _event(_chunk(data), "delta")


def read_unary(answer: Json) -> StreamEvent:
    """A unary chat answer as an event. Raises DialectError for one of another form than vLLM's."""
    if type(answer) is not dict or not answer.get("choices"):
        raise DialectError(say("expected a chat answer, but {answer} came", answer=shown(answer, 120)))
    return _event(answer, "message")


def _event(chunk: dict[str, Json], text_place: str) -> StreamEvent:
    """The event in a chunk; its text is in the object called ``text_place``."""
    choice = _first_choice(chunk)
    delta = dict_field(choice, text_place)
    prompt_ids = chunk.get("prompt_token_ids") or choice.get("prompt_token_ids")
    ids = choice.get("token_ids")
    if ids is None:
        ids = delta.get("token_ids")
    reason = text_field(choice, "finish_reason")
    return StreamEvent(
        token_ids(prompt_ids, "prompt_token_ids") if prompt_ids else None,
        None if ids is None else token_ids(ids, "token_ids"),
        text_field(delta, "reasoning") or text_field(delta, "reasoning_content"),
        text_field(delta, "content") or text_field(choice, "text"),
        _tools(list_field(delta, "tool_calls")) if "tool_calls" in delta else (),
        choice.get("logprobs"),
        condense(reason, _LONGEST_FINISH_REASON) if reason else None,
        _usage(dict_field(chunk, "usage")),
    )


def _chunk(data: str) -> dict[str, Json]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        chunk = None
    if not isinstance(chunk, dict):
        raise StreamError(
            say("an event holds {data}: expected a JSON object; does a proxy meddle?", data=shown(data, 120))
        )
    if chunk.get("error") or chunk.get("object") == "error":
        said = refusal_text(chunk)
        raise StreamError(
            say("{event} ({said}): see the server's log", event=ERROR_EVENT, said=said),
            cause=cause_of(said),
        )
    return chunk


def _first_choice(chunk: dict[str, Json]) -> dict[str, Json]:
    for choice in list_field(chunk, "choices"):
        if type(choice) is not dict:
            raise _other(choice, "choices[]", dict)
        if (choice.get("index") or 0) == 0:
            return choice
    return _NOTHING


def _tools(deltas: list[Json]) -> tuple[ToolDelta, ...]:
    # The calls of a unary answer have no index: their order is the list's.
    return tuple(_tool(delta, place) for place, delta in enumerate(deltas))


def _tool(delta: Json, default_place: int) -> ToolDelta:
    if type(delta) is not dict:
        raise _other(delta, "tool_calls[]", dict)
    function = dict_field(delta, "function")
    place = int_field(delta, "index", default_place, label="tool_calls[].index")
    return ToolDelta(place, text_field(function, "name"), text_field(function, "arguments"))


def _usage(usage: dict[str, Json]) -> Usage | None:
    if usage.get("prompt_tokens") is None and usage.get("completion_tokens") is None:
        return None
    details = dict_field(usage, "prompt_tokens_details")
    reported = details.get("cached_tokens") is not None
    return Usage(
        count_field(usage, "prompt_tokens", None, label="usage's counts"),
        count_field(usage, "completion_tokens", 0, label="usage's counts"),
        count_field(details, "cached_tokens", None, label="usage's cached_tokens") if reported else None,
    )


def _other(value: Json, name: str, kind: type) -> DialectError:
    return DialectError(
        say("{name} is {value}: expected {kind}", name=name, value=shown(value, 60), kind=kind.__name__)
    )
