"""What the server is to do with one request: when tokens come, how they are written, what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["ENCODINGS", "FAULTS", "TEXTS", "Script", "ScriptError"]

TEXTS = ("content", "reasoning", "none", "harmony")
"""Where tokens show: in ``content``, in ``reasoning``, nowhere but in ``token_ids``, or as harmony has
it: three hidden ones, then reasoning, then content."""

ENCODINGS = ("identity", "gzip", "deflate", "br")
"""What ``Content-Encoding`` says. The server has no brotli: under ``br`` the bytes stay as they are."""

FAULTS = (
    "none",
    "no-done",
    "no-usage",
    "no-finish",
    "no-end",
    "error-event",
    "stall",
    "reset",
    "close",
    "status-429",
    "status-503",
    "silence",
    "pings",
    "endless-headers",
    "endless-body",
    "huge-line",
    "excess",
)
"""``no-end``: the body never ends after ``[DONE]``; ``pings``: comments for ever in place of tokens;
``excess``: twice the tokens asked for; ``close``: the connection ends in mid-stream, without a reset."""


class ScriptError(Exception):
    """A script asks for something the server does not have; the message says what."""


@dataclass(frozen=True, slots=True)
class Script:
    """Times in milliseconds after the request's last byte was read.

    ``role_ms`` None sends the role chunk right before the first token, as vLLM does. ``per_event``
    tokens come in one event. ``split`` cuts each event into pieces of so many bytes, ``split_ms`` apart, 0
    leaves it whole. ``fault_after`` tokens come before a fault in mid-stream. ``ids`` False leaves
    ``token_ids`` out. ``tokens`` None obeys the request's max_tokens. ``prompt_ids`` True tells with a chat
    answer the ids of its prompt: those of ``PROMPT``, whatever was asked.

    ``burst`` events come at once, as speculative decoding has them, with the same pace on the whole.
    ``running_usage`` puts the count so far into each event. ``content_only`` drops the events without
    content, as some gateways do. ``buffer`` holds the answer back until so many bytes are there or it
    ends, as a proxy does. ``encoding`` packs the body, event by event.
    """

    first_token_ms: float = 80.0
    interval_ms: float = 5.0
    tokens: int | None = None
    prompt_tokens: int = 1024
    per_event: int = 1
    text: str = "content"
    ids: bool = True
    prompt_ids: bool = False
    role_ms: float | None = None
    usage_ms: float = 0.0
    crlf: bool = False
    comments: bool = False
    split: int = 0
    split_ms: float = 2.0
    burst: int = 1
    running_usage: bool = False
    content_only: bool = False
    buffer: int = 0
    encoding: str = "identity"
    fault: str = "none"
    fault_after: int = 4

    def changed(self, asked: Any) -> Script:
        """Put a request's own wishes, a JSON object with this class's fields, over these.

        Raises ScriptError for a name or a value that is none of these.
        """
        if not isinstance(asked, Mapping):
            raise ScriptError(f"truth is {asked!r}: expected an object")
        known = {field.name: field.type for field in fields(self)}
        for name, value in asked.items():
            if name not in known:
                raise ScriptError(f"truth.{name} is unknown: there are {', '.join(known)}")
            _check(name, value)
        return replace(self, **asked)


def _check(name: str, value: Any) -> None:
    if name == "text":
        fits = value in TEXTS
    elif name == "fault":
        fits = value in FAULTS
    elif name == "encoding":
        fits = value in ENCODINGS
    elif name in ("ids", "prompt_ids", "crlf", "comments", "running_usage", "content_only"):
        fits = isinstance(value, bool)
    elif name in ("per_event", "burst"):
        fits = type(value) is int and 0 < value <= 10**7
    elif name in ("tokens", "prompt_tokens", "split", "buffer", "fault_after"):
        fits = type(value) is int and 0 <= value <= 10**7
    else:
        fits = value is None if name == "role_ms" and value is None else _is_duration(value)
    if not fits:
        raise ScriptError(f"truth.{name} is {value!r}: the server knows no such")


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 3_600_000
