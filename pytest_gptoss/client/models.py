"""The models a server lists at ``/v1/models``."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.client.bodies import condense, shown
from pytest_gptoss.client.logprobs import COUNT_LIMIT
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say

__all__ = ["ServedModel", "field_of", "served_models"]

_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as the server lists it.

    ``max_model_len`` is its context in tokens, ``root`` the checkpoint it was loaded from; None where the
    server does not report them.
    """

    id: str
    max_model_len: int | None
    root: str | None = None


def served_models(answer: Json) -> tuple[ServedModel, ...]:
    """The models in an answer. Raises DialectError for another form, and for a name unfit for reports."""
    entries = field_of(answer, "data")
    if not isinstance(entries, list):
        raise DialectError(say("data is {entries}: expected a list of models", entries=shown(entries, 60)))
    return tuple(_served_model(entry) for entry in entries)


def field_of(answer: Json, name: str) -> Json:
    """A field of a JSON object. Raises DialectError where there is none."""
    if not isinstance(answer, dict) or name not in answer:
        raise DialectError(
            say(
                "expected a JSON object with {name}, but {answer} came", name=repr(name), answer=shown(answer)
            )
        )
    return answer[name]


def _served_model(entry: Json) -> ServedModel:
    name, length = field_of(entry, "id"), entry.get("max_model_len")
    if not isinstance(name, str) or condense(name, _LONGEST_NAME) != name or not name:
        raise DialectError(
            say(
                "a model is called {name}: expected a name of at most {most} printable "
                "characters; see --served-model-name",
                name=shown(name, 60),
                most=_LONGEST_NAME,
            )
        )
    if length is not None and (type(length) is not int or not 0 < length < COUNT_LIMIT):
        raise DialectError(
            say("max_model_len is {length}: expected a number of tokens from 1 on", length=shown(length, 60))
        )
    root = entry.get("root")
    return ServedModel(
        name, length, condense(root, _LONGEST_NAME) if isinstance(root, str) and root else None
    )
