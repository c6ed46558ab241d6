"""Text and token ids of o200k_harmony; the vocabulary is the file that ships with the package."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN
from pytest_gptoss.model.resources import fixture

__all__ = [
    "GrowingText",
    "byte_level",
    "bytes_of",
    "decode",
    "encode",
    "encoding",
    "is_special",
    "text_of",
]


@lru_cache(maxsize=1)
def encoding() -> Any:
    """The ``openai_harmony.HarmonyEncoding`` of GPT-OSS, loaded once (about 0.4 s)."""
    folder = fixture("tiny-gpt-oss", "o200k_base.tiktoken").parent
    # Read when the library loads its vocabulary; without it the library would fetch one.
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(folder)
    from openai_harmony import load_harmony_encoding

    return load_harmony_encoding("HarmonyGptOss")


def is_special(token_id: int) -> bool:
    """Whether an id is a control token, as ``<|start|>``."""
    return token_id >= FIRST_CONTROL_TOKEN


def encode(text: str) -> list[int]:
    """The ids of a text; the names of control tokens in it become control tokens."""
    ids: list[int] = encoding().encode(text, allowed_special="all")
    return ids


def decode(token_ids: Sequence[int], *, skip_special: bool = False) -> str:
    """The text of ids; bytes that are no UTF-8 become U+FFFD."""
    kept = [each for each in token_ids if not (skip_special and is_special(each))]
    text: str = encoding().decode(kept)
    return text


@lru_cache(maxsize=65536)
def bytes_of(token_id: int) -> bytes:
    """The bytes a token stands for, which may be a part of a character."""
    text: str = encoding().decode([token_id], errors="surrogateescape")
    return text.encode("utf-8", "surrogateescape")


def text_of(token_id: int) -> str:
    """A token on its own as text; a part of a character is U+FFFD."""
    return bytes_of(token_id).decode("utf-8", "replace")


def byte_level(token_id: int) -> str:
    """A token as byte-level BPE vocabularies write it: one visible character a byte, a space is ``Ġ``."""
    if is_special(token_id):
        return text_of(token_id)
    return "".join(_visible_bytes()[byte] for byte in bytes_of(token_id))


@lru_cache(maxsize=1)
def _visible_bytes() -> tuple[str, ...]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 onwards."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


class GrowingText:
    """Text of tokens as they come: a character split over several tokens appears when it is whole."""

    def __init__(self, *, skip_special: bool) -> None:
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token_id: int) -> str:
        """What a further token adds to the text."""
        if self._skip_special and is_special(token_id):
            return ""
        return self._decoder.decode(bytes_of(token_id))

    def end(self) -> str:
        """What is left when no token follows: U+FFFD for a character that never became whole."""
        return self._decoder.decode(b"", final=True)
