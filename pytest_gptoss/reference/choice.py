"""One continuation of a prompt while it runs, and several of them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from pytest_gptoss.model.gptoss import RETURN
from pytest_gptoss.reference.generation import GenerationStream, GenerationToken, Guide, TokenLogprobs
from pytest_gptoss.reference.parameters import Parameters
from pytest_gptoss.reference.service import Service
from pytest_gptoss.reference.stop_strings import StopStrings
from pytest_gptoss.reference.tokens import GrowingText

__all__ = ["Choice", "Step", "side_by_side"]


@dataclass(frozen=True, slots=True)
class Step:
    """One token of a choice: its id, the plain text that may be shown with it, and how it ended, if it did.

    ``stop_reason`` is the stop string or the stop token's id, None for ``<|return|>`` and for the length.
    """

    token_id: int
    text: str
    logprobs: TokenLogprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class Choice:
    """A sequence that the engine continues, cut at the first stop string."""

    def __init__(
        self,
        service: Service,
        prompt: tuple[int, ...],
        parameters: Parameters,
        *,
        number: int,
        guide: Guide | None = None,
    ) -> None:
        self._request = parameters.request(
            prompt, choice=number, max_model_len=service.engine.max_model_len, guide=guide
        )
        self._engine = service.engine
        self._stream: GenerationStream | None = None
        self.prompt = prompt
        self._finished = service.finished
        self._include_stop = parameters.include_stop
        self._growing = GrowingText(skip_special=parameters.skip_special_tokens)
        self._stop = StopStrings(
            parameters.stop, min_tokens=parameters.min_tokens, include=parameters.include_stop
        )

    @property
    def prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...] | None:
        """Scores of the prompt, once the first token came."""
        return self._stream.prompt_logprobs if self._stream else None

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Submit the sequence and yield its tokens as they are computed; leaving early frees the slot."""
        reason = "abort"
        stream = self._stream = self._engine.submit(self._request)
        try:
            async for token in stream:
                step = self._step(token)
                reason = step.finish_reason or reason
                yield step
                if step.finish_reason is not None:
                    break
        except Exception:
            reason = "error"
            raise
        finally:
            stream.cancel()
            self._finished.add(reason)

    def _step(self, token: GenerationToken) -> Step:
        ended_by_token = token.finish_reason == "stop"
        text = "" if ended_by_token and not self._include_stop else self._growing.add(token.token_id)
        if token.finish_reason is not None:
            text += self._growing.end()
        stop = self._stop.add(text)
        reason = "stop" if stop is not None else token.finish_reason
        ending: str | int | None = stop
        if stop is None and ended_by_token and token.token_id != RETURN:
            ending = token.token_id
        shown = self._stop.show(all_of_it=reason is not None)
        return Step(token.token_id, shown, token.logprobs, reason, ending)


async def side_by_side(choices: Sequence[Choice]) -> AsyncGenerator[tuple[int, Step], None]:
    """The steps of all choices, each with its choice's index, in the order they are computed."""
    if len(choices) == 1:
        async with aclosing(choices[0].steps()) as steps:
            async for step in steps:
                yield 0, step
        return
    arrived: asyncio.Queue[tuple[int, Step] | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_carry(index, each, arrived)) for index, each in enumerate(choices)]
    try:
        running = len(tasks)
        while running:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(
    index: int, choice: Choice, arrived: asyncio.Queue[tuple[int, Step] | Exception | None]
) -> None:
    try:
        async with aclosing(choice.steps()) as steps:
            async for step in steps:
                arrived.put_nowait((index, step))
    except Exception as error:
        arrived.put_nowait(error)
    else:
        arrived.put_nowait(None)
