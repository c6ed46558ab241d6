"""What is sent: prompts, token sequences, needles and load shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.gptoss import CONTEXT

__all__ = [
    "LoadEndpoint",
    "LoadShape",
    "LoadTask",
    "Message",
    "NeedleTask",
    "Prompt",
    "PromptSet",
    "TokenSequence",
]

LoadEndpoint: TypeAlias = Literal["chat", "completions"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message as an OpenAI client sends it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One entry of a prompt set. ``max_tokens`` None means the profile's."""

    id: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts under one name; ``sha256`` is over their canonical JSON, so equal sets hash equal."""

    name: str
    prompts: tuple[Prompt, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A fixed token sequence. Positions ``first`` .. ``len(token_ids) - 1`` are scored; first >= 1."""

    id: str
    token_ids: tuple[int, ...]
    first: int = 1
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedleTask:
    """What is hidden in long texts and asked for; the defaults are the acceptance guide's.

    The first of ``trials`` hides ``needle`` as it is, further ones another code in the place of
    ``expect``, drawn from ``seed`` as the haystacks are. ``max_context_len`` tokens is the longest
    context tested.
    """

    needle: str = "The secret code is 7842."
    question: str = "What is the secret code?"
    expect: str = "7842"
    trials: int = 1
    seed: int = 0
    max_context_len: int = CONTEXT


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What one load level asks: ``requests`` in all, each of exactly so many tokens in and out.

    A level's name (``model/load_names.py``) refers to its shape: everything of a level is found by its name.
    Without ``arrivals`` it is a closed loop that keeps ``concurrency`` requests in flight. With them it is an
    open one: ``concurrency`` requests warm the server up, and as many connections are opened beforehand. A
    trace says itself how long each request is; ``prompt_tokens`` and ``max_tokens`` are its longest then.
    ``ramp_up_s``: the load rises evenly from nothing in that time. ``slo``: what goodput counts.
    """

    concurrency: int
    requests: int
    prompt_tokens: int
    max_tokens: int
    endpoint: LoadEndpoint = "chat"
    arrivals: Arrivals | None = None
    ramp_up_s: float = 0.0
    slo: Slo | None = None


@dataclass(frozen=True, slots=True)
class LoadTask:
    """How load is measured where the user says so; None leaves what the profile says.

    ``trials`` repeats all levels; ``gpu``: the baseline is put under load too; ``calibrate``: the
    instrument's own error is measured first. ``audit``: so many answers of each level are audited, None for
    all. ``workers``: so many processes put the load; None: this one alone.
    """

    concurrency: tuple[int, ...] | None = None
    requests: int | None = None
    max_tokens: int | None = None
    prompt_tokens: int | None = None
    endpoint: LoadEndpoint = "chat"
    trials: int = 1
    gpu: bool = False
    calibrate: bool = True
    audit: int | None = 64
    workers: int | None = None
