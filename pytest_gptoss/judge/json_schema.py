"""Whether a tool call's arguments keep their JSON Schema: jsonschema finds the errors, this names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say

if TYPE_CHECKING:
    from jsonschema import ValidationError

__all__ = ["violations"]


def violations(arguments: Json, schema: Mapping[str, Json]) -> list[str]:
    """Each way in which ``arguments`` break ``schema``, in words with its place; the outermost first."""
    # Imported here: a run without tool calls does not need it.
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(schema).iter_errors(arguments)
    ordered = sorted(errors, key=lambda error: len(error.absolute_path))
    return list(dict.fromkeys(line for error in ordered for line in _lines(error)))


def _lines(error: ValidationError) -> Iterator[str]:
    place = f"arguments{error.json_path[1:]}"
    value: Json = error.instance
    rule: Json = error.validator_value
    schema: Json = error.schema
    if error.validator == "type":
        yield say("{place} is no {rule}: {value}", place=place, rule=rule, value=repr(value))
    elif error.validator == "enum":
        yield say("{place} is {value}, not one of {rule}", place=place, value=repr(value), rule=rule)
    elif error.validator == "required":
        yield from (
            say("{place} lack {name}", place=place, name=repr(name)) for name in rule if name not in value
        )
    elif error.validator == "additionalProperties" and rule is False:
        known = schema.get("properties", {})
        yield from (
            say("{place} hold {name}, which the schema does not know", place=place, name=repr(name))
            for name in value
            if name not in known
        )
    else:
        yield f"{place}: {error.message}"
