"""Prompt sets: the shipped ones by name, a user's from a JSON file.

A file holds a list. An entry is a prompt's text, or an object: ``id``; ``prompt`` (text) or ``messages``
(objects of ``role`` and ``content``); and, if wanted, ``max_tokens`` and ``tags``. Both kinds may stand
in one list. A string's id is its place in it: ``prompt-001``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from pytest_gptoss.model import resources
from pytest_gptoss.model.inputs import Message, Prompt, PromptSet
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.scenarios import json_list
from pytest_gptoss.scenarios.json_list import Entry, described

__all__ = ["ROLES", "load_file", "load_shipped", "parse", "prompt_set"]

ROLES = ("system", "developer", "user", "assistant")
"""Roles a message may have. Two vLLM generations render "system" and "developer" differently."""

_KEYS = ("id", "prompt", "messages", "max_tokens", "tags")
_MESSAGE_KEYS = ("role", "content")


def load_shipped(name: str) -> PromptSet:
    """Load a prompt set that comes with the package: "default" or "embedded".

    Raises GptossError when there is none of that name.
    """
    return load_file(resources.fixture("prompts", f"{name}.json"), name=name)


def load_file(path: Path, *, name: str | None = None) -> PromptSet:
    """Load a prompt set from a file; ``name`` is the file's own, without its ending, unless given.

    Raises UsageError naming the file, the entry and the field at fault.
    """
    return parse(json_list.parse(json_list.read(path), str(path)), origin=str(path), name=name or path.stem)


def parse(value: Json, *, origin: str, name: str) -> PromptSet:
    """Make a prompt set of parsed JSON; ``origin`` names its file in a UsageError."""
    prompts: dict[str, Prompt] = {}
    numbers: dict[str, int] = {}
    for entry in json_list.entries(value, origin):
        prompt = _prompt(entry)
        if prompt.id in prompts:
            entry.refuse(
                "id", f"{described(prompt.id)} is entry {numbers[prompt.id]}'s already; ids must differ"
            )
        prompts[prompt.id] = prompt
        numbers[prompt.id] = entry.number
    return prompt_set(name, prompts.values())


def prompt_set(name: str, prompts: Iterable[Prompt]) -> PromptSet:
    """Name prompts as a set and hash them: SHA-256 of their JSON, keys sorted, no spaces, ASCII."""
    prompts = tuple(prompts)
    canonical = json.dumps(
        [asdict(prompt) for prompt in prompts], sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )
    return PromptSet(name, prompts, hashlib.sha256(canonical.encode("ascii")).hexdigest())


def _prompt(entry: Entry) -> Prompt:
    value = entry.value
    if isinstance(value, str):
        text = entry.text("", value)
        return Prompt(f"prompt-{entry.number:03d}", (Message("user", text),))
    if not isinstance(value, dict):
        entry.refuse("", f"{described(value)} is no prompt; write a string or an object")
    entry.known_keys(_KEYS)
    if "id" not in value:
        entry.refuse("id", "it is missing; give the prompt a name of its own")
    return Prompt(
        entry.name("id", value["id"]),
        _messages(entry),
        max_tokens=_max_tokens(entry) if "max_tokens" in value else None,
        tags=entry.names("tags", value["tags"]) if "tags" in value else (),
    )


def _messages(entry: Entry) -> tuple[Message, ...]:
    value = entry.value
    given = [key for key in ("prompt", "messages") if key in value]
    if len(given) != 1:
        fault = "both are there" if given else "neither is there"
        entry.refuse("prompt, messages", f"{fault}; write exactly one of them")
    if given == ["prompt"]:
        return (Message("user", entry.text("prompt", value["prompt"])),)
    messages = value["messages"]
    if not isinstance(messages, list) or not messages:
        entry.refuse(
            "messages",
            f"{'an empty list' if messages == [] else described(messages)} is no conversation; "
            "write a list of objects with role and content",
        )
    return tuple(_message(entry, f"messages[{index}]", message) for index, message in enumerate(messages))


def _message(entry: Entry, field: str, message: Json) -> Message:
    if not isinstance(message, dict):
        entry.refuse(field, f"{described(message)} is no message; write an object with role and content")
    for key in _MESSAGE_KEYS:
        if key not in message:
            entry.refuse(f"{field}.{key}", "it is missing; a message has role and content")
    for key in message:
        if key not in _MESSAGE_KEYS:
            entry.refuse(field, f"unknown key {described(key)}; a message has role and content")
    role = message["role"]
    if role not in ROLES:
        entry.refuse(f"{field}.role", f"{described(role)} is no role; the roles are {', '.join(ROLES)}")
    return Message(role, entry.text(f"{field}.content", message["content"]))


def _max_tokens(entry: Entry) -> int:
    value = entry.value["max_tokens"]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        entry.refuse(
            "max_tokens", f"{described(value)} is no whole number of at least 1; correct it or leave it out"
        )
    return value
