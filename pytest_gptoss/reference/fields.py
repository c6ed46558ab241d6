"""Typed reading of a JSON body: what pydantic's lax mode accepts, and its words for what it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from starlette.requests import Request

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import ApiError, invalid

__all__ = ["Fields", "as_integer", "read_fields"]

_TRUE = {"true", "1", "yes", "y", "on", "t"}
_FALSE = {"false", "0", "no", "n", "off", "f"}


async def read_fields(request: Request) -> Fields:
    """The body of a request as fields.

    Raises:
        ApiError: it is not declared as JSON, is no JSON, or is no object.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
        raise ApiError(400, message, kind="Bad Request")
    body = _parse(await request.body())
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise invalid("model_attributes_type", "body", message, given=body)
    return Fields(body)


def _parse(raw: bytes) -> Json:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        context = {"error": error.msg}
        raise invalid(
            "json_invalid", f"body.{error.pos}", "JSON decode error", given={}, context=context
        ) from None
    except (ValueError, RecursionError) as error:
        context = {"error": str(error).partition("\n")[0]}
        raise invalid("json_invalid", "body.0", "JSON decode error", given={}, context=context) from None


class Fields:
    """The fields of a request body. An absent field and null are the same: None, or the default."""

    def __init__(self, values: Mapping[str, Json], location: str = "body") -> None:
        self._values = values
        self._location = location

    def raw(self, name: str) -> Json:
        """A field as it came."""
        return self._values.get(name)

    def required(self, name: str) -> Json:
        """A field that must be there.

        Raises:
            ApiError: it is not, or is null.
        """
        if self._values.get(name) is None:
            raise invalid("missing", self._at(name), "Field required", given=dict(self._values))
        return self._values[name]

    def integer(self, name: str) -> int | None:
        """A whole number, also written as text."""
        value = self.raw(name)
        return None if value is None else as_integer(value, self._at(name))

    def number(self, name: str) -> float | None:
        """A finite number, also written as text."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, (int, float, str)):
            raise invalid("float_type", self._at(name), "Input should be a valid number", given=value)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            message = "Input should be a valid number, unable to parse string as a number"
            raise invalid("float_parsing", self._at(name), message, given=value) from None
        if not math.isfinite(number):
            raise invalid("finite_number", self._at(name), "Input should be a finite number", given=value)
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false, also as 0, 1 or one of the usual words."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, (int, str)):
            word = str(value).lower()
            if word in _TRUE | _FALSE:
                return word in _TRUE
            message = "Input should be a valid boolean, unable to interpret input"
            raise invalid("bool_parsing", self._at(name), message, given=value)
        raise invalid("bool_type", self._at(name), "Input should be a valid boolean", given=value)

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise invalid("string_type", self._at(name), "Input should be a valid string", given=value)
        return value

    def one_of(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of a few words."""
        value = self.raw(name)
        if value is None or value in allowed:
            return None if value is None else str(value)
        quoted = [repr(word) for word in allowed]
        expected = " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
        raise invalid(
            "literal_error",
            self._at(name),
            f"Input should be {expected}",
            given=value,
            context={"expected": expected},
        )

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, or one string."""
        value = self.raw(name)
        if isinstance(value, str):
            return (value,)
        for index, item in enumerate(self.items(name)):
            if not isinstance(item, str):
                where = f"{self._at(name)}.{index}"
                raise invalid("string_type", where, "Input should be a valid string", given=item)
        return tuple(value or ())

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(
            as_integer(item, f"{self._at(name)}.{index}") for index, item in enumerate(self.items(name))
        )

    def items(self, name: str) -> list[Json]:
        """A list, empty where there is none."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid("list_type", self._at(name), "Input should be a valid list", given=value)
        return value

    def part(self, name: str) -> Fields | None:
        """An object inside the body."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid("dict_type", self._at(name), "Input should be a valid dictionary", given=value)
        return Fields(value, self._at(name))

    def parts(self, name: str) -> list[Fields]:
        """A list of objects."""
        found = []
        for index, item in enumerate(self.items(name)):
            where = f"{self._at(name)}.{index}"
            if not isinstance(item, dict):
                raise invalid("dict_type", where, "Input should be a valid dictionary", given=item)
            found.append(Fields(item, where))
        return found

    def _at(self, name: str) -> str:
        return f"{self._location}.{name}"


def as_integer(value: Json, location: str) -> int:
    """A JSON value as a whole number.

    Raises:
        ApiError: it is none.
    """
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise invalid("finite_number", location, "Input should be a finite number", given=value)
        if value != int(value):
            message = "Input should be a valid integer, got a number with a fractional part"
            raise invalid("int_from_float", location, message, given=value)
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            message = "Input should be a valid integer, unable to parse string as an integer"
            raise invalid("int_parsing", location, message, given=value) from None
    raise invalid("int_type", location, "Input should be a valid integer", given=value)
