"""Stored JSON read back in one typed step: strict JSON, then values of the types that their places need.

What lies in files may have been damaged, or written by somebody else. Nothing that is read here can have a
key too many or too few, another type, or a number that is not finite; messages say the place and the rule.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pytest_gptoss.model.json_type import Json

__all__ = ["Mismatch", "parse", "record", "typed"]

LARGEST_WHOLE = 2**63 - 1
"""Largest whole number that an array can hold too."""
_SHOWN = 40
"""Characters of a wrong value in a message."""

Reader: TypeAlias = Callable[[Any], Any]


class Mismatch(ValueError):
    """A stored value is not what its place needs; the message says the place and the rule."""

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(f"{place.lstrip(' .')}: {rule}" if place else rule)
        self._rule = rule
        self._place = place

    def inside(self, step: str) -> Mismatch:
        """The same fault, seen from one step further out: ``.name`` or ``[index]``."""
        return Mismatch(self._rule, f"{step}{self._place}")


def parse(text: str | bytes) -> Json:
    """JSON as ``json.loads`` reads it, finite numbers only; raises Mismatch for everything else."""
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError:
        raise Mismatch("nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, Mismatch) else Mismatch(f"no JSON ({error})") from None


def typed(kind: Any, value: Json) -> Any:
    """``value`` as ``kind``: a frozen data class, a tuple, a mapping with text keys, a Literal, a plain type.

    Raises Mismatch.
    """
    return _reader(kind)(value)


def record(kind: Any, value: Json, beside: Mapping[str, Any]) -> Any:
    """A data class whose fields ``beside`` stand outside its JSON; raises Mismatch."""
    return _record(kind, value, beside)


def _refuse_number(text: str) -> Json:
    raise Mismatch(f"{text} is no finite number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse_number(text)
    return value


def _refuse(value: Json, needed: str) -> Any:
    shown = json.dumps(value, ensure_ascii=True, default=str)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    raise Mismatch(f"{shown} where {needed} belongs")


@cache
def _reader(kind: Any) -> Reader:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        return lambda value: _record(kind, value, {})
    return _of_generic(get_origin(kind), get_args(kind), kind)


def _of_generic(origin: Any, arguments: tuple[Any, ...], kind: Any) -> Reader:
    if origin is Literal:
        return lambda value: value if _is_one_of(value, arguments) else _refuse(value, _either(arguments))
    if origin in (Union, types.UnionType):
        return lambda value: _any_of(tuple(map(_reader, arguments)), value)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return lambda value: _sequence(_reader(arguments[0]), value)
        return lambda value: _row(tuple(map(_reader, arguments)), value)
    if origin is not None and issubclass(origin, Mapping):
        return lambda value: _mapping(_reader(arguments[1]), value)
    raise TypeError(f"{kind} cannot be stored as JSON")


def _any_of(readers: tuple[Reader, ...], value: Json) -> Any:
    """What the first fitting type makes of a value; the last type says what is wrong with it."""
    if value is None and _NOTHING in readers:
        return None
    *others, last = (read for read in readers if read is not _NOTHING)
    for read in others:
        with contextlib.suppress(Mismatch):
            return read(value)
    return last(value)


def _either(allowed: tuple[Any, ...]) -> str:
    return f"one of {', '.join(map(str, allowed))}"


def _is_one_of(value: Json, allowed: tuple[Any, ...]) -> bool:
    return any(type(value) is type(each) and value == each for each in allowed)


def _sequence(read: Reader, value: Json) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse(value, "a list")
    index = 0
    found = []
    try:
        for index, each in enumerate(value):  # noqa: B007 - the place of what is wrong
            found.append(read(each))
    except Mismatch as error:
        raise error.inside(f"[{index}]") from None
    return tuple(found)


def _row(readers: tuple[Reader, ...], value: Json) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(readers):
        _refuse(value, f"a list of {len(readers)}")
    return tuple(read(each) for read, each in zip(readers, value, strict=True))


def _mapping(read: Reader, value: Json) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(value, "an object")
    return {name: _at(name, read, each) for name, each in value.items()}


def _at(name: str, read: Reader, value: Json) -> Any:
    try:
        return read(value)
    except Mismatch as error:
        raise error.inside(f".{name[:_SHOWN]}") from None


def _record(kind: Any, value: Json, beside: Mapping[str, Any]) -> Any:
    """A data class; fields with a default may be absent."""
    if not isinstance(value, dict):
        _refuse(value, "an object")
    readers, needed = _fields(kind)
    for name in value:
        if name not in readers or name in beside:
            raise Mismatch("there is no such key", f".{name[:_SHOWN]}")
    for name in needed:
        if name not in value and name not in beside:
            raise Mismatch("the key is missing", f".{name}")
    return kind(**beside, **{name: _at(name, readers[name](), each) for name, each in value.items()})


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Callable[[], Reader]], tuple[str, ...]]:
    """Each field's reader, made when it is first needed: arrays stand beside the JSON and have none."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    needed = tuple(
        each.name for each in fields if each.default is missing and each.default_factory is missing
    )
    return {each.name: cache(_deferred(hints[each.name])) for each in fields}, needed


def _deferred(kind: Any) -> Callable[[], Reader]:
    return lambda: _reader(kind)


def _whole(value: Json) -> int:
    if type(value) is not int or abs(value) > LARGEST_WHOLE:
        _refuse(value, "a whole number")
    found: int = value
    return found


def _number(value: Json) -> float:
    if type(value) is int and abs(value) <= LARGEST_WHOLE:
        return float(value)
    return value if type(value) is float and math.isfinite(value) else _refuse(value, "a finite number")


def _plain(kind: type, needed: str) -> Reader:
    return lambda value: value if type(value) is kind else _refuse(value, needed)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else str(_refuse(value, "a text"))


_NOTHING = _plain(type(None), "nothing")
_PLAIN: Mapping[Any, Reader] = {
    Any: lambda value: value,
    int: _whole,
    float: _number,
    bool: _plain(bool, "true or false"),
    str: _text,
    type(None): _NOTHING,
    Path: lambda value: Path(_text(value)),
}
