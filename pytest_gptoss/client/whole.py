"""Greedy chat answers that come in one piece: the other half of every answer that can be streamed."""

from __future__ import annotations

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.client.logprobs import token_ids
from pytest_gptoss.errors import DialectError
from pytest_gptoss.records import Generation, Json, ToolCall

__all__ = ["whole_body", "whole_generation"]

_STREAMED_ONLY = ("stream", "stream_options")


def whole_body(streamed: dict[str, Json]) -> dict[str, Json]:
    """Turn the body of a streamed request into that of the same request for a whole answer."""
    return {name: value for name, value in streamed.items() if name not in _STREAMED_ONLY}


def whole_generation(answer: Json, *, prompt_id: str) -> Generation:
    """Read ``/v1/chat/completions``'s answer without streaming; log-probabilities are left out.

    Raises DialectError naming the field that is not as vLLM has it.
    """
    try:
        choice, usage = answer["choices"][0], answer["usage"]
        message = choice["message"]
        calls = tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        )
        prompt_ids, ids = answer.get("prompt_token_ids"), choice.get("token_ids")
        generation = Generation(
            prompt_id=prompt_id,
            prompt_token_ids=None if prompt_ids is None else token_ids(prompt_ids, "prompt_token_ids"),
            token_ids=None if ids is None else token_ids(ids, "token_ids"),
            reasoning=message.get("reasoning") or message.get("reasoning_content") or "",
            content=message.get("content") or "",
            tool_calls=calls,
            finish_reason=choice["finish_reason"],
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DialectError(
            f"expected a chat answer, but {condense(repr(answer), 120)} came "
            f"({type(error).__name__}: {error})"
        ) from None
    texts = (
        generation.reasoning,
        generation.content,
        *(part for call in calls for part in (call.name, call.arguments)),
    )
    if not all(isinstance(text, str) for text in texts):
        raise DialectError(f"a text of the answer is none: {condense(repr(message), 120)}")
    return generation
