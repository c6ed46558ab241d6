"""The languages that reports speak."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["LANGUAGES", "Language"]

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
