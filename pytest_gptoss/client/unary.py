"""Greedy chat answers without streaming, to be compared with streamed ones."""

from __future__ import annotations

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.client.stream_event import read_unary
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation

__all__ = ["unary_body", "unary_generation"]

_STREAMED_ONLY = ("stream", "stream_options")


def unary_body(streamed: dict[str, Json]) -> dict[str, Json]:
    """The body of a streamed request, changed to ask for a unary answer."""
    return {name: value for name, value in streamed.items() if name not in _STREAMED_ONLY}


def unary_generation(answer: Json, *, prompt_id: str, max_tokens: int) -> Generation:
    """The record of a unary answer of ``/v1/chat/completions``; log-probabilities are left out.

    It is bounded and checked as a stream of one event. Raises DialectError naming the field that differs
    from vLLM's.
    """
    event = read_unary(answer)
    if event.finish_reason is None or event.usage is None:
        raise DialectError(
            say("a chat answer without finish_reason or usage came: {answer}", answer=shown(answer, 120))
        )
    generation = StreamedGeneration(max_tokens)
    generation.add(event._replace(logprobs=None))
    return generation.finished(prompt_id=prompt_id, top=None, done=True)
