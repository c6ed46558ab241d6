"""A report document with its sentences in the reader's language, by ``templates.zh.json``.

Reasons, findings and advice stand in a document in English; its ``messages`` say which templates they were
made from, and with which values. What a server said has no template and stays as it was said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.message import (
    BOTH,
    EITHER,
    SENTENCES,
    TABLE,
    WORDS,
    Message,
    filled,
    stored_messages,
)

__all__ = ["chinese_templates", "in_chinese", "spoken"]

_BETWEEN: Mapping[str, str] = {SENTENCES: "；", WORDS: "、", BOTH: " 和 ", EITHER: " 或 "}
"""What stands between the texts of a list."""


@cache
def chinese_templates() -> Mapping[str, str]:
    """Chinese templates by the English ones; both have the same fields."""
    templates: Mapping[str, str] = json.loads(
        Path(__file__).with_name("templates.zh.json").read_text("utf-8")
    )
    return templates


def spoken(document: Mapping[str, Json], language: Language) -> Mapping[str, Json]:
    """The document as ``language`` says it; sentences without a translation stay English."""
    if language == "en":
        return document
    said = {text: in_chinese(each) for text, each in stored_messages(document).items()}
    return {name: each if name == TABLE else _said(each, said) for name, each in document.items()}


def in_chinese(message: Message) -> str:
    """A message in Chinese, the messages in it too; in English where its template has no Chinese one."""
    template = chinese_templates().get(message.template)
    if template is None:
        return message.english
    try:
        values = {name: _value(each) for name, each in message.values.items()}
        return filled(template, values, _BETWEEN)
    except (ValueError, LookupError, TypeError):  # a document that was written by another version, or by hand
        return message.english


def _value(value: str | int | float | tuple[str, ...]) -> str | int | float | tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple(in_chinese(each) if isinstance(each, Message) else each for each in value)
    return in_chinese(value) if isinstance(value, Message) else value


def _said(value: Json, said: Mapping[str, str]) -> Json:
    if isinstance(value, str):
        return said.get(value, value)
    if isinstance(value, Mapping):
        return {name: _said(each, said) for name, each in value.items()}
    if isinstance(value, list | tuple) and not (value and isinstance(value[0], int | float)):
        return [_said(each, said) for each in value]
    return value
