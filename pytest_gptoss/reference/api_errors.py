"""Errors as vLLM words them over HTTP: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

from typing import Any

from pytest_gptoss.model.json_type import Json

__all__ = ["ApiError", "bad_request", "bad_value", "error_body", "invalid", "not_found"]

_SHOWN_CHARACTERS = 200


class ApiError(Exception):
    """An answer that is no success. ``kind`` is the error's type as the dialect names it."""

    def __init__(self, status: int, message: str, *, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param

    def body(self) -> Json:
        """The JSON body of the answer."""
        return error_body(self.status, self.message, kind=self.kind, param=self.param)


def error_body(status: int, message: str, *, kind: str, param: str | None = None) -> Json:
    """The JSON body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def bad_request(message: str, *, param: str | None = None) -> ApiError:
    """400 for a request that makes no sense as a whole."""
    return ApiError(400, message, kind="BadRequestError", param=param)


def bad_value(message: str, *, param: str, value: object = None) -> ApiError:
    """400 for a value out of range; the message names the parameter, and the value if there is one."""
    where = f"parameter={param}" if value is None else f"parameter={param}, value={value}"
    return bad_request(f"{message} ({where})", param=param)


def not_found(model: str, *, alias: str | None = None) -> ApiError:
    """404 for a model that is not served; ``alias`` is the one that is, where the route tells it."""
    message = f"The model `{model}` does not exist."
    if alias is None:
        return ApiError(404, message, kind="NotFoundError")
    return ApiError(404, f"{message} Valid aliases: {alias}.", kind="NotFoundError", param="model")


def invalid(
    kind: str, location: str, message: str, *, given: object = None, context: dict[str, Any] | None = None
) -> ApiError:
    """400 for a body that does not fit the schema, worded as vLLM words a validation error."""
    detail: dict[str, Any] = {"type": kind, "loc": location, "msg": message, "input": _shown(given)}
    if context:
        detail["ctx"] = context
    return ApiError(400, f"1 validation error:\n  {detail}", kind="Bad Request", param=location)


def _shown(given: object) -> str:
    if isinstance(given, (list, dict)):
        return f"<{type(given).__name__} of {len(given)} items>"
    text = str(given)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
