"""What is sent: prompts, token sequences, needles and load shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.arrivals import Arrivals, Law, Slo
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
    ``duration_s``: an open level has as many of its ``requests`` as come in that time; a run's plan counts
    them. ``longest``: tokens of a trace's longest request, prompt and answer together.
    """

    concurrency: int
    requests: int
    prompt_tokens: int
    max_tokens: int
    endpoint: LoadEndpoint = "chat"
    arrivals: Arrivals | None = None
    ramp_up_s: float = 0.0
    slo: Slo | None = None
    duration_s: float | None = None
    longest: int | None = None

    @property
    def context_needed(self) -> int:
        """Tokens of the longest prompt and its answer."""
        return self.prompt_tokens + self.max_tokens if self.longest is None else self.longest


@dataclass(frozen=True, slots=True)
class LoadTask:
    """How load is measured where the user says so; None leaves what the profile says.

    ``trials`` repeats all levels; ``gpu``: the baseline is put under load too; ``calibrate``: the
    instrument's own error is measured first. ``audit``: so many answers of each level are audited, None for
    all. ``workers``: so many processes put the load; None: this one alone. ``ray``: they are spread over the
    nodes of this Ray cluster, None of ``workers`` is then one a node.

    ``rates``: open levels beside the others, whose gaps follow ``law`` with ``cv`` from ``seed``. ``trace``:
    the level that a trace gives, as it was read. ``duration_s`` ends open levels. The three ``slo_`` fields
    are put over the profile's service level.
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
    rates: tuple[float, ...] | None = None
    law: Law = "poisson"
    cv: float = 1.0
    seed: int = 0
    trace: LoadShape | None = None
    duration_s: float | None = None
    ramp_up_s: float | None = None
    slo_ttft_ms: float | None = None
    slo_tpot_ms: float | None = None
    slo_share: float | None = None
    workers: int | None = None
    ray: str | None = None
