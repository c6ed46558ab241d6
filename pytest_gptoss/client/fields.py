"""Optional fields of a server's JSON.

Null and empty values read as absent: servers and gateways send null for what they leave out. A value of
another type is refused with a DialectError that shows it.
"""

from __future__ import annotations

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.logprobs import COUNT_LIMIT
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say

__all__ = ["count_field", "dict_field", "int_field", "list_field", "text_field"]

_NOTHING: dict[str, Json] = {}

# Types are compared, not tested with isinstance: to isinstance, JSON's true would be an int.


def dict_field(place: dict[str, Json], name: str) -> dict[str, Json]:
    """The object at ``name``; empty where there is none. Raises DialectError for another type."""
    value = place.get(name)
    if not value:
        return _NOTHING
    if type(value) is not dict:
        raise _other(value, name, dict)
    return value


def list_field(place: dict[str, Json], name: str) -> list[Json]:
    """The list at ``name``; empty where there is none. Raises DialectError for another type."""
    value = place.get(name)
    if not value:
        return []
    if type(value) is not list:
        raise _other(value, name, list)
    return value


def text_field(place: dict[str, Json], name: str) -> str:
    """The text at ``name``; empty where there is none. Raises DialectError for another type."""
    value = place.get(name)
    if not value:
        return ""
    if type(value) is not str:
        raise _other(value, name, str)
    return value


def int_field(place: dict[str, Json], name: str, default: int, *, label: str | None = None) -> int:
    """The whole number at ``name``, ``default`` where there is none.

    ``label`` names the field in messages. Raises DialectError for another type.
    """
    value = place.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise _other(value, label or name, int)
    return value


def count_field(place: dict[str, Json], name: str, default: int | None, *, label: str | None = None) -> int:
    """The count of tokens at ``name``, ``default`` where there is none; a default of None requires one.

    Raises DialectError for another type, and for what no count of tokens can be.
    """
    value = place.get(name)
    value = default if value is None else value
    if type(value) is not int:
        raise _other(value, label or name, int)
    if not 0 <= value < COUNT_LIMIT:
        what = label or name
        raise DialectError(
            say(
                "{what}: usage counts {value} tokens: expected a number from 0 on",
                what=what,
                value=shown(value, 60),
            )
        )
    return value


def _other(value: Json, name: str, kind: type) -> DialectError:
    return DialectError(
        say("{name} is {value}: expected {kind}", name=name, value=shown(value, 60), kind=kind.__name__)
    )
