"""Token ids of GPT-OSS as text, from the shipped o200k vocabulary: for people who read a report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache

from pytest_gptoss.model.gptoss import NAMED_TOKENS
from pytest_gptoss.model.resources import fixture

__all__ = ["text_of", "token_bytes", "token_text"]


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
    if token_id in NAMED_TOKENS:
        return NAMED_TOKENS[token_id].encode()
    if not 0 <= token_id < len(ranks):
        return f"<|reserved_{token_id}|>".encode()
    return base64.b64decode(ranks[token_id].split()[0])


@cache
def _ranks() -> list[bytes]:
    """Lines of the vocabulary file: line N is token N."""
    return fixture("tiny-gpt-oss", "o200k_base.tiktoken").read_bytes().splitlines()
