"""What is asked to try out one feature of a server: a handful of requests each, by item id."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from itertools import islice
from typing import Any

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import RequestError, StatusError
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.inputs import Message, Prompt, PromptSet
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH
from pytest_gptoss.model.results import AGAIN, BadRequest, Generation
from pytest_gptoss.scenarios.abort_trial import AbortTrial
from pytest_gptoss.scenarios.kinds import Feature, FeatureName
from pytest_gptoss.scenarios.prose import sentences

__all__ = [
    "BAD_REQUESTS",
    "CITIES",
    "CUT_AFTER",
    "TAGS",
    "TAG_TOKENS",
    "TOOL_SCHEMAS",
    "TOOL_TOKENS",
    "WEATHER_TOOL",
    "FeatureTrial",
    "item_ids",
]

CITIES = ("Paris", "Tokyo", "Berlin")
"""The weather in each of these is asked for, once streamed and twice whole."""

WEATHER_TOOL: Mapping[str, Json] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city name"}},
            "required": ["city"],
        },
    },
}

TOOL_SCHEMAS: Mapping[str, Json] = {
    WEATHER_TOOL["function"]["name"]: WEATHER_TOOL["function"]["parameters"],
}
"""Tool name -> JSON Schema of its parameters."""

CUT_AFTER = 4
"""So many tokens end an answer before it is finished."""

REQUESTS_AT_ONCE = 16
TOOL_TOKENS = 512
TAG_TOKENS = 256
PROSE_SENTENCES = 12

_GOOD = Prompt("good", (Message("user", "What is the capital of France?"),))
_MESSAGES = [{"role": "user", "content": "Hi"}]
NO_TOKEN = 2**31 - 1
PLAIN_TOKEN = 976


def _json(body: Json) -> bytes:
    return json.dumps(body).encode()


BAD_REQUESTS: Mapping[str, tuple[str, bytes]] = {
    "nothing-wrong": (CHAT_PATH, b""),
    "not-json": (CHAT_PATH, b'{"messages": ['),
    "messages-as-text": (CHAT_PATH, _json({"messages": "Hi"})),
    "unknown-model": (CHAT_PATH, _json({"model": "no-such-model", "messages": _MESSAGES})),
    "negative-temperature": (CHAT_PATH, _json({"messages": _MESSAGES, "temperature": -1})),
    "token-beyond-vocabulary": (COMPLETIONS_PATH, _json({"prompt": [NO_TOKEN], "max_tokens": 1})),
    "prompt-too-long": (COMPLETIONS_PATH, b""),
}
"""Path and body by name. The first is none: it shows that the server was alive before the others."""


def _tags() -> tuple[str, ...]:
    drawn = random.Random(0).sample(range(1000, 10_000), REQUESTS_AT_ONCE)  # noqa: S311 - no secret
    return tuple(str(code) for code in drawn)


TAGS = _tags()
"""Codes of four digits: each request hides one and asks for it."""


def item_ids(feature: FeatureName, prompts: PromptSet) -> tuple[str, ...]:
    """Ids of what is asked to try a feature; ``prompts`` are the short questions of the "features" set.

    Raises ValueError for a feature without items.
    """
    questions = tuple(prompt.id for prompt in prompts.prompts)
    if feature == "whole":
        return (*questions, *(f"{each}{AGAIN}" for each in questions))
    if feature in ("cut", "effort-low", "effort-high"):
        return questions
    if feature == "tags":
        return TAGS
    if feature == "abort":
        return ("abort",)
    if feature == "bad-requests":
        return tuple(BAD_REQUESTS)
    if feature.startswith("tools-"):
        return tuple(f"{city}-{form}" for city in CITIES for form in ("streamed", "whole", f"whole{AGAIN}"))
    raise ValueError(f"feature {feature} has no items: item_ids names none")


class FeatureTrial:
    """Asks for the items of one feature on one device, whose context holds ``context`` tokens."""

    def __init__(
        self,
        scenario: Feature,
        client: VllmClient,
        prompts: PromptSet,
        *,
        max_tokens: int,
        context: int | None,
    ) -> None:
        self._feature = scenario.feature
        self._client = client
        self._prompts = {prompt.id: prompt for prompt in prompts.prompts}
        self._max_tokens = max_tokens
        self._context = context

    @property
    def concurrency(self) -> int:
        """How many items are asked for at once."""
        return REQUESTS_AT_ONCE if self._feature == "tags" else 1

    async def ask(self, item_id: str) -> Any:
        """One item. Raises RequestError when it cannot be had, ValueError for a feature without a request."""
        if self._feature == "abort":
            return await AbortTrial(self._client, context=self._context).ask()
        if self._feature == "bad-requests":
            return await self._bad_request(item_id)
        if self._feature == "tags":
            return await self._tag(item_id)
        if self._feature.startswith("tools-"):
            return await self._call(item_id)
        prompt = self._prompts[item_id.removesuffix(AGAIN)]
        if self._feature == "whole":
            answer = await self._client.chat_unary(prompt, max_tokens=self._max_tokens)
            return dataclasses.replace(answer, prompt_id=item_id)
        if self._feature == "cut":
            return await self._client.chat(prompt, max_tokens=CUT_AFTER, top_logprobs=None)
        if self._feature.startswith("effort-"):
            effort = {"reasoning_effort": self._feature.removeprefix("effort-")}
            return await self._client.chat(
                prompt, max_tokens=self._max_tokens, top_logprobs=None, more=effort
            )
        raise ValueError(f"feature {self._feature} has no request: FeatureTrial.ask sends none")

    async def _call(self, item_id: str) -> Generation:
        city, _, form = item_id.removesuffix(AGAIN).rpartition("-")
        prompt = Prompt(item_id, (Message("user", f"What is the weather in {city}?"),))
        choice: Json = self._feature.removeprefix("tools-")
        if choice == "named":
            choice = {"type": "function", "function": {"name": "get_weather"}}
        more = {"tools": [WEATHER_TOOL], "tool_choice": choice}
        if form == "whole":
            return await self._client.chat_unary(prompt, max_tokens=TOOL_TOKENS, more=more)
        return await self._client.chat(prompt, max_tokens=TOOL_TOKENS, top_logprobs=None, more=more)

    async def _tag(self, tag: str) -> Generation:
        prose = list(islice(sentences(int(tag)), PROSE_SENTENCES))
        prose.insert(PROSE_SENTENCES // 2, f"The secret code is {tag}.")
        prompt = Prompt(tag, (Message("user", f"{' '.join(prose)}\n\nWhat is the secret code?"),))
        return await self._client.chat(prompt, max_tokens=TAG_TOKENS, top_logprobs=None)

    async def _bad_request(self, name: str) -> BadRequest:
        path, body = BAD_REQUESTS[name]
        if name == "prompt-too-long":
            body = _json({"prompt": [PLAIN_TOKEN] * ((self._context or CONTEXT) + 1), "max_tokens": 1})
        status: int | None = None
        said = ""
        if body:
            try:
                await self._client.send(path, body)
                status = 200
            except StatusError as error:
                status, said = error.status, str(error)
            except RequestError as error:
                said = str(error)
        try:
            await self._client.chat(_GOOD, max_tokens=CUT_AFTER, top_logprobs=None)
        except RequestError as error:
            return BadRequest(name, status, said, alive=False, trouble=str(error))
        return BadRequest(name, status, said, alive=True)
