"""Harmony's control tokens belong between server and model; none may reach a user.

A server that drops the tokens and keeps their words leaks too: ``<|channel|>analysis<|message|>We ...<|end|>
<|start|>assistant<|channel|>final<|message|>Paris`` becomes "analysisWe ...assistantfinalParis".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Greedy

__all__ = ["leakage"]

_CONTROL = re.compile(
    r"<\|(?:startoftext|endoftext|return|constrain|channel|start|end|message|call|endofprompt"
    r"|reserved_\d+)\|>"
)
_CHANNEL_WORDS = re.compile(
    # A header between two messages, its words run together: no language writes so.
    r"assistant(?:analysis|commentary|final)"
    # A message to a tool.
    r"|(?:assistant|analysis|commentary)\s*to=[a-z_]+|\A\s*to=[a-z_]+\.\w|commentary ?json\s*[{\[]"
    # The first header, run together with a sentence. Only words that begin sentences count, because
    # finalPrice and analysisResult are names in program text.
    r"|\A\s*(?:analysis|commentary)"
    r"(?:The|We|User|It|They|This|You|Need|Let|So|Okay|Just|There|Simple|Question)(?=[\s,.:'’])"
    r"|\A\s*final(?:The|We|It|They|This|You|There|Here|Sure|Yes)(?=[\s,.:'’])"
    # Headers set apart by blanks: both the first and a later one must be there.
    r"|\A\s*(?:analysis|commentary)(?!\s+of\b)\s[\s\S]*?\bassistant\s+(?:analysis|commentary|final)\b"
)
_OF_ARGUMENTS = re.compile(r"\A\s*(?:(?:analysis|commentary|final)\s*(?:json)?|json)\s*[{\[]")
"""A header before the JSON of a tool call."""
_OF_NAME = re.compile(r"(?<=[a-z0-9 ])commentary\Z")
"""A channel behind the name of a tool."""
_CONTEXT = 30
"""Characters of text quoted on either side of a leak."""
_LONGEST = 100
"""Characters of a leak itself that are quoted."""


# Only chat answers are parsed into channels; raw completions cannot leak.
@metric("leakage", needs=lambda roles: {"npu": Greedy(roles.subject)}, statistics=("count",))
def leakage(*, npu: Measurement[Generation]) -> Estimate:
    """Count of outputs with a control token of o200k_harmony, or its bare words, where a user sees them.

    That is in content, reasoning or a tool call. The words count as a header has them, run together
    ("assistantfinal") or at the very beginning; prose that says "final analysis" is none.
    A census without interval. Details: ``leaks``, one entry a field: prompt id, field, token and
    the text around its first place.
    """
    answers = sound_items(npu, "prompts")
    if not any(text for answer in answers for _, text in _fields(answer)):
        raise InsufficientData(
            say(
                "{device}: every one of {answers} answers is empty, there is nothing to leak "
                "into: check the prompts, max_tokens and the server's log",
                device=npu.device,
                answers=len(answers),
            )
        )
    leaks = [leak for answer in answers for leak in _leaks(answer)]
    leaking = {leak["prompt_id"] for leak in leaks}
    details: dict[str, Json] = {"leaks": leaks}
    if leaks:
        first = leaks[0]
        details["finding"] = say(
            "{leaking} of {answers} outputs leak control tokens or channel words, first "
            "{prompt_id}, {field}: {excerpt}",
            leaking=len(leaking),
            answers=len(answers),
            prompt_id=first["prompt_id"],
            field=first["field"],
            excerpt=repr(first["excerpt"]),
        )
    return Estimate(float(len(leaking)), "outputs", len(answers), details=details)


def _leak(field: str, text: str) -> re.Match[str] | None:
    patterns = [_CONTROL, _CHANNEL_WORDS]
    if field.endswith(".arguments"):
        patterns.append(_OF_ARGUMENTS)
    if field.endswith(".name"):
        patterns.append(_OF_NAME)
    return next((found for each in patterns if (found := each.search(text)) is not None), None)


def _fields(answer: Generation) -> Iterator[tuple[str, str]]:
    yield "content", answer.content
    yield "reasoning", answer.reasoning
    for number, call in enumerate(answer.tool_calls):
        yield f"tool_calls[{number}].name", call.name
        yield f"tool_calls[{number}].arguments", call.arguments


def _leaks(answer: Generation) -> Iterator[dict[str, Json]]:
    for field, text in _fields(answer):
        found = _leak(field, text)
        if found is not None:
            start, stop = found.span()
            stop = min(stop, start + _LONGEST)
            yield {
                "prompt_id": answer.prompt_id,
                "field": field,
                "token": text[start:stop],
                "excerpt": text[max(0, start - _CONTEXT) : stop + _CONTEXT],
            }
