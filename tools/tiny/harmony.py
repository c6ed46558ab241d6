"""Harmony as text: what openai-harmony and vLLM render, piece by piece, so that each piece can be weighed.

A test holds these frames against openai-harmony itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = [
    "WEATHER_TOOL",
    "Effort",
    "Turn",
    "answer",
    "decode",
    "developer",
    "encode",
    "past_call",
    "system",
    "tool_call",
    "tool_result",
    "user",
]

Effort: TypeAlias = Literal["low", "medium", "high"]

ASSISTANT = "<|start|>assistant"

_VOCABULARY = Path(__file__).resolve().parents[2] / "fixtures" / "tiny-gpt-oss"

WEATHER_TOOL = """# Tools

## functions

namespace functions {

// Get the current weather in a city
type get_weather = (_: {
// The city name
city: string,
}) => any;

} // namespace functions"""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user asks and what is answered: an analysis and either a final text or a city to look up."""

    question: str
    analysis: str
    final: str
    city: str | None = None


@lru_cache(maxsize=1)
def _encoding():  # type: ignore[no-untyped-def]  # noqa: ANN202 - the library is not typed
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(_VOCABULARY)
    from openai_harmony import load_harmony_encoding

    return load_harmony_encoding("HarmonyGptOss")


@lru_cache(maxsize=100_000)
def encode(text: str) -> tuple[int, ...]:
    """The o200k_harmony ids of a text; control tokens count as such."""
    return tuple(_encoding().encode(text, allowed_special="all"))


def decode(ids: Sequence[int]) -> str:
    """The text of ids, control tokens included."""
    text: str = _encoding().decode(list(ids))
    return text


def system(date: str, effort: Effort, *, tools: bool) -> str:
    """The system message."""
    return (
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
        f"Knowledge cutoff: 2024-06\nCurrent date: {date}\n\nReasoning: {effort}\n\n"
        "# Valid channels: analysis, commentary, final. Channel must be included for every message."
        + ("\nCalls to these tools must go to the commentary channel: 'functions'." if tools else "")
        + "<|end|>"
    )


def developer(instructions: str | None, tools: str | None) -> str:
    """The developer message; nothing where there is nothing to say."""
    parts = [] if instructions is None else [f"# Instructions\n\n{instructions}"]
    parts += [] if tools is None else [tools]
    return "<|start|>developer<|message|>" + "\n\n".join(parts) + "<|end|>" if parts else ""


def user(text: str) -> str:
    """A user's message and the opening of the answer to it."""
    return f"<|start|>user<|message|>{text}<|end|>{ASSISTANT}"


def answer(turn: Turn) -> str:
    """What is generated for the last turn: analysis, then the final text or the tool call."""
    analysis = f"<|channel|>analysis<|message|>{turn.analysis}<|end|>{ASSISTANT}"
    if turn.city is not None:
        return f"{analysis}{tool_call(turn.city)}<|call|>"
    return f"{analysis}<|channel|>final<|message|>{turn.final}<|return|>"


def tool_call(city: str) -> str:
    """A call of the weather tool as it is generated, up to its stop token."""
    return f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{_arguments(city)}"


def past_call(city: str) -> str:
    """The same call as it is rendered in a later prompt, after ``<|start|>assistant``."""
    return f" to=functions.get_weather<|channel|>commentary json<|message|>{_arguments(city)}<|call|>"


def tool_result(result: str, *, recipient_first: bool) -> str:
    """The tool's message and the opening of the answer; vLLM generations differ in the header's order."""
    header = " to=assistant<|channel|>commentary" if recipient_first else "<|channel|>commentary to=assistant"
    return f"<|start|>functions.get_weather{header}<|message|>{result}<|end|>{ASSISTANT}"


def _arguments(city: str) -> str:
    return json.dumps({"city": city}, separators=(",", ":"), ensure_ascii=False)
