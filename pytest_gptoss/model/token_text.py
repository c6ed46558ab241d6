"""Token ids of GPT-OSS as text, from the shipped o200k vocabulary: for people who read a report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from pytest_gptoss.model.resources import fixture

__all__ = ["NAMED", "text_of", "token_bytes", "token_text"]

NAMED: Mapping[int, str] = MappingProxyType(
    {
        199_998: "<|startoftext|>",
        199_999: "<|endoftext|>",
        200_002: "<|return|>",
        200_003: "<|constrain|>",
        200_005: "<|channel|>",
        200_006: "<|start|>",
        200_007: "<|end|>",
        200_008: "<|message|>",
        200_012: "<|call|>",
        200_018: "<|endofprompt|>",
    }
)
"""The special tokens that have a name; all others from 199,998 on are reserved."""


def token_text(token_id: int) -> str:
    r"""The text of a token; bytes that are no whole characters are written ``\xe4\xbd``.

    An id that the vocabulary does not hold is written ``<|reserved_N|>``.
    """
    return token_bytes(token_id).decode("utf-8", "backslashreplace")


def text_of(token_ids: Sequence[int]) -> str:
    """The text of several tokens together; bytes that make no character are U+FFFD."""
    return b"".join(map(token_bytes, token_ids)).decode("utf-8", "replace")


def token_bytes(token_id: int) -> bytes:
    """The bytes of a token; they need not be whole characters. Special ones are their names."""
    ranks = _ranks()
    if token_id in NAMED:
        return NAMED[token_id].encode()
    if not 0 <= token_id < len(ranks):
        return f"<|reserved_{token_id}|>".encode()
    return base64.b64decode(ranks[token_id].split()[0])


@cache
def _ranks() -> list[bytes]:
    """Lines of the vocabulary file: line N is token N."""
    return fixture("tiny-gpt-oss", "o200k_base.tiktoken").read_bytes().splitlines()
