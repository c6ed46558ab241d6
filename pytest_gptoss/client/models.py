"""The models a server lists at ``/v1/models``."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.client.bodies import condense, shown
from pytest_gptoss.client.logprobs import COUNT_LIMIT
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json

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
        raise DialectError(f"data is {shown(entries, 60)}: expected a list of models")
    return tuple(_served_model(entry) for entry in entries)


def field_of(answer: Json, name: str) -> Json:
    """A field of a JSON object. Raises DialectError where there is none."""
    if not isinstance(answer, dict) or name not in answer:
        raise DialectError(f"expected a JSON object with {name!r}, but {shown(answer)} came")
    return answer[name]


def _served_model(entry: Json) -> ServedModel:
    name, length = field_of(entry, "id"), entry.get("max_model_len")
    if not isinstance(name, str) or condense(name, _LONGEST_NAME) != name or not name:
        raise DialectError(
            f"a model is called {shown(name, 60)}: expected a name of at most {_LONGEST_NAME} "
            "printable characters; see --served-model-name"
        )
    if length is not None and (type(length) is not int or not 0 < length < COUNT_LIMIT):
        raise DialectError(f"max_model_len is {shown(length, 60)}: expected a number of tokens from 1 on")
    root = entry.get("root")
    return ServedModel(
        name, length, condense(root, _LONGEST_NAME) if isinstance(root, str) and root else None
    )
