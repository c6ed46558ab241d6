"""What a tool answer says beside its call: content, reasoning and finish reason belong to the judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_gptoss.judge.answer_text import PARSER_AT_FAULT, answer_text
from pytest_gptoss.model.gptoss import NAMED_TOKENS
from pytest_gptoss.model.harmony import harmony_messages
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import either, say
from pytest_gptoss.model.results import Generation, ToolCall

__all__ = ["calls_by_ids", "fault_beside_call"]

_FUNCTIONS = "functions."
_FINISH_REASONS = {"named": ("tool_calls", "stop")}
"""Of a named tool two vLLM generations end differently; "auto" and "required" end as a call does."""
_A_CALL = ("tool_calls",)
_SHOWN = 60


def fault_beside_call(answer: Generation, call: ToolCall, *, choice: str) -> str | None:
    """Say what is wrong with an answer whose only call, by itself, is right; None when nothing is.

    Wrong are: another finish reason; the call's arguments in the content once more, whole or a part of them,
    or as the reasoning; control tokens or the call's address in the content; control tokens in the reasoning;
    either text departing from the answer's token ids. A preamble as content is sound, and so is an analysis
    that speaks of the arguments.
    """
    departure = answer_text(answer).departure
    fault = next(_faults(answer, call, choice), departure)
    if fault is None or departure is None:
        return fault
    return say("{where}: {error}", where=fault, error=PARSER_AT_FAULT)


def calls_by_ids(answer: Generation) -> tuple[ToolCall, ...]:
    """The calls of functions that stand in an answer's token ids, whatever the server made of them."""
    return tuple(
        ToolCall(each.recipient.removeprefix(_FUNCTIONS), each.text)
        for each in harmony_messages(answer.token_ids or ())
        if each.recipient is not None and each.recipient.startswith(_FUNCTIONS)
    )


def _faults(answer: Generation, call: ToolCall, choice: str) -> Iterator[str]:
    expected = _FINISH_REASONS.get(choice, _A_CALL)
    if answer.finish_reason not in expected:
        yield say(
            "finish_reason is {finish_reason}, not {expected}",
            finish_reason=repr(answer.finish_reason),
            expected=either(map(repr, expected)),
        )
    if _repeats(answer.content, call.arguments):
        yield say(
            "the call's arguments stand in the content too: {content}", content=repr(answer.content[:_SHOWN])
        )
    if f"to={_FUNCTIONS}" in answer.content:
        yield say(
            "the call's address stands in the content: {content}", content=repr(answer.content[:_SHOWN])
        )
    if answer.reasoning and _value(answer.reasoning) == _value(call.arguments):
        yield say(
            "the reasoning is the call's arguments: {reasoning}", reasoning=repr(answer.reasoning[:_SHOWN])
        )
    for field, text in (("content", answer.content), ("reasoning", answer.reasoning)):
        control = next((name for name in NAMED_TOKENS.values() if name in text), None)
        if control is not None:
            yield say(
                "the {field} holds the control token {control}: {text}",
                field=field,
                control=control,
                text=repr(text[:_SHOWN]),
            )


def _repeats(content: str, arguments: str) -> bool:
    """Whether the arguments' JSON stands in the content, however spaced or quoted, or is begun there."""
    wanted = _value(arguments)
    plain = content.replace('\\"', '"')
    if wanted and any(_read(plain, at) == wanted for at, char in enumerate(plain) if char == "{"):
        return True
    said = "".join(content.split())
    return any(mark in said for mark in '{"}') and said in "".join(arguments.split())


def _value(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _read(text: str, at: int) -> Json:
    """The JSON value that begins at a place of a text; None where none does."""
    try:
        return json.JSONDecoder().raw_decode(text, at)[0]
    except (ValueError, RecursionError):
        return None
