"""Whether a value keeps a JSON Schema, for the small part of it that tool parameters use.

Known keywords: type, properties, required, additionalProperties (false), enum, items. Another keyword
is refused rather than overlooked: a check that ignores half of a schema proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_gptoss.model.json_type import Json

__all__ = ["violations"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_KNOWN = {"type", "properties", "required", "additionalProperties", "enum", "items", "description", "title"}


def violations(value: Json, schema: Mapping[str, Json], place: str = "arguments") -> Iterator[str]:
    """Each way in which ``value`` breaks ``schema``, in words.

    Raises ValueError for a schema with a keyword that is not known here.
    """
    unknown = sorted(set(schema) - _KNOWN)
    if unknown:
        raise ValueError(f"schema keyword {unknown[0]!r} is not known: use {', '.join(sorted(_KNOWN))}")
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield f"{place} is no {kind}: {value!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}, not one of {schema['enum']}"
    if isinstance(value, dict):
        yield from _in_object(value, schema, place)
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            yield from violations(each, schema["items"], f"{place}[{index}]")


def _is(value: Json, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES[kind])


def _in_object(value: Mapping[str, Json], schema: Mapping[str, Json], place: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place} lack {name!r}"
    for name, each in value.items():
        if name in properties:
            yield from violations(each, properties[name], f"{place}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{place} hold {name!r}, which the schema does not know"
