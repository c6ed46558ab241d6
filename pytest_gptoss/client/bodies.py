"""Bodies that were not expected (refusals, web pages, damaged JSON), shortened to one line for messages."""

from __future__ import annotations

import html
import itertools
import json
import re

from pytest_gptoss.model.errors import Cause
from pytest_gptoss.model.json_type import Json

__all__ = ["cause_of", "condense", "is_web_page", "refusal_text", "shown"]

CUT = "..."
"""Ends a text that was cut; ``Secret.scrub`` knows it."""

SHOWN_CHARACTERS = 200
_READ_CHARACTERS = 8192
_SHOWN_LEVELS = 6
_SHOWN_ENTRIES = 40
_SHOWN_DIGITS = 40
_SCRIPT = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_CONTEXT_TOO_LONG = re.compile(r"maximum context length|max_tokens must be at least 1", re.IGNORECASE)
_DIED = re.compile(
    r"out of memory|\bOOM\b|failed to allocate|EngineCore|Engine ?Dead|engine (is|process) dead",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*>")


def condense(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """``text`` on one line of at most ``limit`` characters, free of control characters."""
    visible = "".join(char if char.isprintable() else " " for char in text[:_READ_CHARACTERS])
    line = " ".join(visible.split())
    if len(line) <= limit and len(text) <= _READ_CHARACTERS:
        return line
    return line[: limit - len(CUT)] + CUT


def shown(value: Json, limit: int = SHOWN_CHARACTERS) -> str:
    """``value`` as Python writes it, on one line of at most ``limit`` characters, however large or deep.

    Spaces are kept: a text may be refused because of them.
    """
    text = repr(_pruned(value))
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def cause_of(said: str) -> Cause | None:
    """Why a server gave no answer, by the text of its refusal; None where that does not tell."""
    if _CONTEXT_TOO_LONG.search(said):
        return "context"
    return "died" if _DIED.search(said) else None


def _pruned(value: Json, levels: int = _SHOWN_LEVELS) -> Json:
    """As much of a value as a line can show; ``repr`` of a deeply nested one would raise RecursionError."""
    if isinstance(value, str):
        return value if len(value) <= _READ_CHARACTERS else value[:_READ_CHARACTERS] + CUT
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_DIGITS:
        return f"a whole number of more than {_SHOWN_DIGITS} digits"
    if not isinstance(value, dict | list) or not value:
        return value
    if levels == 0:
        return CUT
    if isinstance(value, list):
        return [_pruned(each, levels - 1) for each in value[:_SHOWN_ENTRIES]]
    return {
        _pruned(key): _pruned(each, levels - 1)
        for key, each in itertools.islice(value.items(), _SHOWN_ENTRIES)
    }


def is_web_page(content_type: str, body: bytes) -> bool:
    """Whether a body is HTML: a proxy or a web server answered, not vLLM."""
    return "html" in content_type.lower() or body[:64].lstrip().lower().startswith((b"<!doctype", b"<html"))


def refusal_text(body: bytes | Json, content_type: str = "") -> str:
    """The reason in a refusal, on one line; empty for an empty body.

    Understands vLLM's three shapes, ``{"error": {"message": ...}}``, ``{"detail": ...}`` and
    ``{"error": "Unauthorized"}``, the older ``{"message": ...}``, and strips a web page of its tags.
    """
    if not isinstance(body, bytes):
        return condense(_reason(body))
    text = body.decode("utf-8", "replace")
    try:
        return condense(_reason(json.loads(text)))
    except (ValueError, RecursionError):
        pass
    if is_web_page(content_type, body):
        cut = CUT if len(text) > _READ_CHARACTERS else ""
        text = html.unescape(_TAG.sub(" ", _SCRIPT.sub(" ", text[:_READ_CHARACTERS]))) + cut
    return condense(text)


def _reason(body: Json) -> str:
    found = body
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    return found if isinstance(found, str) else json.dumps(_pruned(found), ensure_ascii=False)
