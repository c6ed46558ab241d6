"""Prompts as /v1/completions and /pooling take them: text or token ids, one or several."""

from __future__ import annotations

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import bad_request, bad_value, invalid
from pytest_gptoss.reference.fields import Fields, as_integer
from pytest_gptoss.reference.service import Service
from pytest_gptoss.reference.tokens import encode

__all__ = ["read_prompts"]


def read_prompts(fields: Fields, name: str, service: Service) -> list[tuple[int, ...]]:
    """The prompts of a request as token ids.

    Raises:
        ApiError: there is none, one is empty or too long, or an id is outside the vocabulary.
    """
    given = fields.raw(name)
    if given is None or given == "":
        message = f"Either {name} or {name}_embeds must be provided and non-empty."
        raise bad_value(message, param=name)
    prompts = [_cut(fields, each, service) for each in _split(given, f"body.{name}")]
    if not prompts:
        raise bad_request("You must pass at least one prompt")
    for prompt in prompts:
        _check(prompt, service)
    return prompts


def _split(given: Json, location: str) -> list[tuple[int, ...]]:
    if isinstance(given, str):
        return [tuple(encode(given))]
    if not isinstance(given, list):
        raise invalid("string_type", location, "Input should be a valid string", given=given)
    if given and all(isinstance(each, (str, list)) for each in given):
        return [
            tuple(encode(each)) if isinstance(each, str) else _ids(each, f"{location}.{index}")
            for index, each in enumerate(given)
        ]
    return [_ids(given, location)] if given else []


def _ids(given: list[Json], location: str) -> tuple[int, ...]:
    ids = tuple(as_integer(each, f"{location}.{index}") for index, each in enumerate(given))
    for index, each in enumerate(ids):
        if each < 0:
            message = "Input should be greater than or equal to 0"
            where = f"{location}.{index}"
            raise invalid("greater_than_equal", where, message, given=each, context={"ge": 0})
    return ids


def _cut(fields: Fields, prompt: tuple[int, ...], service: Service) -> tuple[int, ...]:
    """The last ``truncate_prompt_tokens`` of a prompt; -1 means as many as the context holds."""
    count = fields.integer("truncate_prompt_tokens")
    if count is None:
        return prompt
    if count == -1:
        count = service.engine.max_model_len
    if count < 1:
        message = f"truncate_prompt_tokens must be -1 or at least 1, got {count}."
        raise bad_value(message, param="truncate_prompt_tokens", value=count)
    return prompt[-count:]


def _check(prompt: tuple[int, ...], service: Service) -> None:
    limit = service.engine.max_model_len
    if not prompt:
        raise bad_request("The decoder prompt cannot be empty")
    if len(prompt) > limit:
        raise bad_value(
            f"This model's maximum context length is {limit} tokens. However, your prompt contains "
            f"{len(prompt)} input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt.",
            param="input_tokens",
            value=len(prompt),
        )
    if max(prompt) >= service.engine.vocab_size:
        raise bad_request(f"Token id {max(prompt)} is out of vocabulary")
