"""Whether a text is the beginning of a JSON value that keeps a schema: the question of guided decoding.

The part of JSON Schema that tool parameters use: object with properties and required, array with items,
string, integer, number, boolean, null, enum. White space is at most one blank between marks, so that
nothing but a string can go on for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json

__all__ = ["Progress", "progress", "unsupported"]

Progress: TypeAlias = Literal["wrong", "open", "done"]

_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_KEYWORDS = {
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "description",
    "title",
    "additionalProperties",
}
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_STRING_BEGUN = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*(?:\\(?:u[0-9a-fA-F]{0,3})?)?'
)
_NUMBER_BEGUN = {
    "integer": re.compile(r"-?(?:0|[1-9]\d*)?"),
    "number": re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?)?"),
}


def unsupported(schema: Json) -> str | None:
    """What in a schema is not known here; None when all of it is."""
    if not isinstance(schema, dict):
        return f"{schema!r} is no schema"
    for name in schema:
        if name not in _KEYWORDS:
            return f"keyword {name!r}"
    if schema.get("enum") is None and schema.get("type") not in _TYPES:
        return f"type {schema.get('type')!r}"
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return next((found for found in map(unsupported, inner) if found), None)


def progress(text: str, schema: Mapping[str, Json]) -> Progress:
    """How far a text is on its way to a value of the schema."""
    reader = _Reader(text)
    try:
        reader.value(schema)
    except _Unfinished:
        return "open"
    except _Wrong:
        return "wrong"
    return "done" if reader.at == len(text) else "wrong"


class _Unfinished(Exception):
    """The text ends where more must come."""


class _Wrong(Exception):
    """No value of the schema begins like this."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self, schema: Mapping[str, Json]) -> None:
        if "enum" in schema:
            self._one_of([json.dumps(each, ensure_ascii=False) for each in schema["enum"]])
            return
        kind = schema["type"]
        if kind == "object":
            self._object(schema)
        elif kind == "array":
            self._array(schema.get("items", {"type": "string"}))
        elif kind == "string":
            self._string()
        elif kind in _NUMBER_BEGUN:
            self._number(kind)
        else:
            self._one_of(["true", "false"] if kind == "boolean" else ["null"])

    def _object(self, schema: Mapping[str, Json]) -> None:
        properties = schema.get("properties", {})
        missing, left = list(schema.get("required", ())), list(properties)
        self._mark("{")
        self._blank()
        if self._closes(missing):
            return
        while True:
            if not left:
                raise _Wrong
            name = self._one_of([json.dumps(each, ensure_ascii=False) for each in left])
            key = left.pop(name)
            if key in missing:
                missing.remove(key)
            self._mark(":")
            self._blank()
            self.value(properties[key])
            if self._closes(missing):
                return
            self._mark(",")
            self._blank()

    def _closes(self, missing: Sequence[str]) -> bool:
        """Whether the object ends here, which it may not while a required property is missing."""
        if not self._sees("}"):
            return False
        if missing:
            raise _Wrong
        return True

    def _array(self, items: Mapping[str, Json]) -> None:
        self._mark("[")
        if self._sees("]"):
            return
        while True:
            self.value(items)
            if self._sees("]"):
                return
            self._mark(",")
            self._blank()

    def _string(self) -> None:
        whole = _STRING.match(self.text, self.at)
        if whole is not None:
            self.at = whole.end()
            return
        begun = _STRING_BEGUN.match(self.text, self.at)
        if self.at == len(self.text) or (begun is not None and begun.end() == len(self.text)):
            raise _Unfinished
        raise _Wrong

    def _number(self, kind: str) -> None:
        begun = _NUMBER_BEGUN[kind].match(self.text, self.at)
        end = self.at if begun is None else begun.end()
        if end == len(self.text):
            raise _Unfinished
        try:
            json.loads(self.text[self.at : end])
        except ValueError:
            raise _Wrong from None
        self.at = end

    def _one_of(self, words: Sequence[str]) -> int:
        """The place of the word that stands here; of two where one begins the other the longer one."""
        rest = self.text[self.at :]
        found = [index for index, word in enumerate(words) if rest.startswith(word)]
        if found:
            best = max(found, key=lambda index: len(words[index]))
            self.at += len(words[best])
            return best
        if any(word.startswith(rest) for word in words):
            raise _Unfinished
        raise _Wrong

    def _mark(self, mark: str) -> None:
        if not self._sees(mark):
            raise _Wrong

    def _sees(self, mark: str) -> bool:
        """Whether a mark stands here, and past it if so."""
        if self.at == len(self.text):
            raise _Unfinished
        if self.text[self.at] != mark:
            return False
        self.at += 1
        return True

    def _blank(self) -> None:
        if self.text[self.at : self.at + 1] == " ":
            self.at += 1
