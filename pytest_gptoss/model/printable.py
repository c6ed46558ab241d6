"""Text from outside made fit to be shown: nothing in it moves a cursor, turns a line or breaks a file.

A model and a server can emit anything: terminal codes, bidirectional overrides, half a surrogate pair,
a line of a megabyte.
"""

from __future__ import annotations

import unicodedata
from functools import partial

from pytest_gptoss.model.message import Message

__all__ = ["printable", "shortened"]

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that show nothing themselves, and may change how the rest is shown."""
_JOINERS = "\u200c\u200d"
"""Part of ordinary words in Persian and Indic scripts, and of emoji."""


def printable(text: str, *, keep: str = "") -> str:
    r"""``text`` with every character that does not show written as its escape; ``keep`` names exceptions.

    Escapes are those of Python: ``\x1b``, ``\u202e``, ``\ud800``, ``\n``.
    """
    if text.isascii() and text.isprintable():
        return text
    if isinstance(text, Message):
        return text.changed(partial(printable, keep=keep))
    return "".join(char if _shows(char) or char in keep else _escape(char) for char in text)


def shortened(text: str, longest: int) -> str:
    """At most ``longest`` characters of a text; what was cut is counted behind them."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}... (+{len(text) - longest:,})"


def _shows(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _HIDDEN


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
