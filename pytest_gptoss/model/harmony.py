"""Harmony, the form of GPT-OSS' answers, read from token ids: control tokens and the messages they frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gptoss.model.gptoss import CALL, CHANNEL, END, END_OF_TEXT, MESSAGE, RETURN, START
from pytest_gptoss.model.token_text import text_of

__all__ = [
    "HarmonyMessage",
    "ends_in_header",
    "harmony_messages",
]

_ENDS = frozenset({END, RETURN, CALL, END_OF_TEXT})
_BEGINS = frozenset({START, CHANNEL})
_CHANNEL_NAME = re.compile(r"<\|channel\|>\s*([A-Za-z]*)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")


@dataclass(frozen=True, slots=True)
class HarmonyMessage:
    """One message of an answer. ``recipient`` is the tool it is sent to, None for one that readers see.

    ``body`` are the ids between ``<|message|>`` and what ends the message.
    """

    channel: str
    recipient: str | None
    body: tuple[int, ...]

    @property
    def visible(self) -> bool:
        """Whether it is meant for the user: the final channel, or the preamble of a tool call."""
        return self.recipient is None and self.channel in ("final", "commentary")

    @property
    def text(self) -> str:
        """The body as text."""
        return text_of(self.body)


def harmony_messages(token_ids: Sequence[int]) -> tuple[HarmonyMessage, ...]:
    """The messages of an answer's token ids, a last one without end included.

    Empty where no ``<|message|>`` stands in them: then they are not in harmony's form, or hold less than a
    header. An answer's first header follows the prompt's ``<|start|>assistant``.
    """
    return tuple(_message(header, body) for header, body in _framed(token_ids) if body is not None)


def ends_in_header(token_ids: Sequence[int]) -> bool:
    """Whether the ids end inside a message's header, before its ``<|message|>``."""
    last = None
    for header, body in _framed(token_ids):
        last = header if body is None else None
    return last is not None


def _framed(token_ids: Sequence[int]) -> Iterator[tuple[list[int], list[int] | None]]:
    """Header and body of each message in turn; no body where the ids end before it."""
    header: list[int] = []
    body: list[int] | None = None
    for token in token_ids:
        if body is None:
            if token == MESSAGE:
                body = []
            else:
                header.append(token)
        elif token in _ENDS or token in _BEGINS:
            yield header, body
            header, body = [token] if token in _BEGINS else [], None
        else:
            body.append(token)
    if header or body is not None:
        yield header, body


def _message(header: Sequence[int], body: Sequence[int]) -> HarmonyMessage:
    text = text_of(header)
    channel, recipient = _CHANNEL_NAME.search(text), _RECIPIENT.search(text)
    return HarmonyMessage(channel[1] if channel else "", recipient[1] if recipient else None, tuple(body))
