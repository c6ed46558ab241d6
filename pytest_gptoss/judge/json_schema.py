"""Whether a tool call's arguments keep their JSON Schema: jsonschema finds the errors, this names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pytest_gptoss.model.json_type import Json

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
    place, value = f"arguments{error.json_path[1:]}", cast("Any", error.instance)
    rule = cast("Any", error.validator_value)
    schema = cast("Any", error.schema)
    if error.validator == "type":
        yield f"{place} is no {rule}: {value!r}"
    elif error.validator == "enum":
        yield f"{place} is {value!r}, not one of {rule}"
    elif error.validator == "required":
        yield from (f"{place} lack {name!r}" for name in rule if name not in value)
    elif error.validator == "additionalProperties" and rule is False:
        known = schema.get("properties", {})
        yield from (
            f"{place} hold {name!r}, which the schema does not know" for name in value if name not in known
        )
    else:
        yield f"{place}: {error.message}"
