"""Harmony's control tokens belong between server and model; none may reach a user."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_gptoss.errors import InsufficientData
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.records import Estimate, Generation, Json, Measurement

__all__ = ["leakage"]

_CONTROL = re.compile(
    r"<\|(?:startoftext|endoftext|return|constrain|channel|start|end|message|call|endofprompt"
    r"|reserved_\d+)\|>"
)
_CONTEXT = 30
"""Characters of text quoted on either side of a leak."""


def leakage(*, npu: Measurement[Generation]) -> Estimate:
    """Count of outputs with a control token of o200k_harmony in content, reasoning or a tool call.

    A census without interval. Details: ``leaks``, one entry a field: prompt id, field, token and
    the text around its first place.
    """
    answers = sound_items(npu, "prompts")
    if not any(text for answer in answers for _, text in _fields(answer)):
        raise InsufficientData(
            f"{npu.device}: every one of {len(answers)} answers is empty, there is nothing to leak into: "
            "check the prompts, max_tokens and the server's log"
        )
    leaks = [leak for answer in answers for leak in _leaks(answer)]
    leaking = {leak["prompt_id"] for leak in leaks}
    details: dict[str, Json] = {"leaks": leaks}
    if leaks:
        first = leaks[0]
        details["finding"] = (
            f"{len(leaking)} of {len(answers)} outputs leak control tokens, first {first['prompt_id']}, "
            f"{first['field']}: {first['excerpt']!r}"
        )
    return Estimate(float(len(leaking)), "outputs", len(answers), details=details)


def _fields(answer: Generation) -> Iterator[tuple[str, str]]:
    yield "content", answer.content
    yield "reasoning", answer.reasoning
    for number, call in enumerate(answer.tool_calls):
        yield f"tool_calls[{number}].name", call.name
        yield f"tool_calls[{number}].arguments", call.arguments


def _leaks(answer: Generation) -> Iterator[dict[str, Json]]:
    for field, text in _fields(answer):
        found = _CONTROL.search(text)
        if found is not None:
            start, stop = found.span()
            yield {
                "prompt_id": answer.prompt_id,
                "field": field,
                "token": found.group(),
                "excerpt": text[max(0, start - _CONTEXT) : stop + _CONTEXT],
            }
