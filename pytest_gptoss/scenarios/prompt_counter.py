"""How many tokens a chat prompt has, by the device's own count."""

from __future__ import annotations

import secrets

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.inputs import Message, Prompt
from pytest_gptoss.model.subjects import Capabilities

__all__ = ["PromptCounter", "user_prompt"]


class PromptCounter:
    """Counts the prompt tokens of one user message, the chat frame included.

    By ``/tokenize`` where the device has it, else by the usage of requests for one token. ``frame`` is
    what the chat adds to the text's own tokens, learnt from ``sample``; None until then, and without
    ``/tokenize``. Whoever finds it wrong may correct it.
    """

    def __init__(self, client: VllmClient, *, able: Capabilities, sample: str) -> None:
        self._client = client
        self._able = able
        self._sample = sample
        self.frame: int | None = None

    async def __call__(self, text: str) -> int:
        """Prompt tokens of a user message with that text; raises RequestError."""
        if not self._able.tokenize:
            return await self.used(text)
        if self.frame is None:
            self.frame = await self.used(self._sample) - len(await self._client.tokenize(self._sample))
        return self.frame + len(await self._client.tokenize(text))

    async def used(self, text: str) -> int:
        """The same by the usage of a chat request for one token, which is never wrong."""
        answer = await self._client.chat(
            user_prompt(text), max_tokens=1, top_logprobs=None, cache_salt=secrets.token_hex(8)
        )
        return answer.prompt_tokens


def user_prompt(text: str) -> Prompt:
    """A prompt of one user message."""
    return Prompt("counted", (Message("user", text),))
