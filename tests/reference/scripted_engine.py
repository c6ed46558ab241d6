"""An engine that says what a test tells it to, for tests of the HTTP face alone."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pytest_gptoss.reference.generation import (
    EngineStats,
    GenerationRequest,
    GenerationToken,
    TokenLogprobs,
)
from pytest_gptoss.reference.limits import Limits


@dataclass
class Script:
    """What one sequence says. ``gate`` is awaited before each token; ``error`` is raised at the end."""

    token_ids: Sequence[int]
    logprobs: Sequence[TokenLogprobs] | None = None
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None
    gate: Callable[[], object] | None = None
    error: Exception | None = None


class ScriptedStream:
    def __init__(self, request: GenerationRequest, script: Script) -> None:
        self.request = request
        self.prompt_logprobs = None
        self.cached_tokens = 0
        self.cancelled = threading.Event()
        self.sent = 0
        self._script = script

    async def __aiter__(self) -> AsyncIterator[GenerationToken]:
        script = self._script
        if self.request.prompt_logprobs is not None:
            self.prompt_logprobs = script.prompt_logprobs
        for index, token_id in enumerate(script.token_ids[: self.request.max_tokens]):
            if script.gate is not None:
                await script.gate()
            if self.cancelled.is_set():
                return
            reason = "length" if index + 1 == self.request.max_tokens else None
            if token_id in self.request.stop_token_ids and index >= self.request.min_tokens:
                reason = "stop"
            self.sent += 1
            scores = script.logprobs[index] if script.logprobs and self.request.logprobs is not None else None
            yield GenerationToken(token_id, scores, reason)
            if reason is not None:
                return
        if script.error is not None:
            raise script.error

    def cancel(self) -> None:
        self.cancelled.set()


@dataclass
class ScriptedEngine:
    """Gives the n-th sequence the n-th script, the last one to all that follow."""

    scripts: list[Script] = field(default_factory=list)
    states: Callable[[tuple[int, ...]], np.ndarray] | None = None
    max_model_len: int = 8192
    vocab_size: int = 201088
    limits: Limits = field(default_factory=Limits)
    stats: EngineStats = field(default_factory=EngineStats)
    streams: list[ScriptedStream] = field(default_factory=list)

    def submit(self, request: GenerationRequest) -> ScriptedStream:
        script = self.scripts[min(len(self.streams), len(self.scripts) - 1)]
        self.streams.append(ScriptedStream(request, script))
        return self.streams[-1]

    async def embed(self, token_ids: tuple[int, ...]) -> np.ndarray:
        assert self.states is not None
        return self.states(token_ids)

    def close(self) -> None:
        pass
