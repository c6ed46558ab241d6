"""Generated tokens as an answer: harmony's messages told apart into reasoning, content and tool calls.

The parsing is openai-harmony's, one token at a time, so that streaming and whole answers cannot differ.
What harmony does not understand is not lost: a message whose header never ends comes out as raw text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_gptoss.model.gptoss import CALL, END, MESSAGE, RETURN, START, STOP_IDS
from pytest_gptoss.reference.tokens import decode, encoding

__all__ = ["Answer", "Delta", "Kind", "Part"]

Kind: TypeAlias = Literal["reasoning", "content", "call", "hidden"]

_ENDS = frozenset({END, RETURN, CALL})
_UNFINISHED_CHARACTER = "\ufffd"


@dataclass(slots=True)
class Part:
    """One harmony message. ``name`` is the function that a call is for; a hidden part is not shown."""

    kind: Kind
    name: str = ""
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it says so far."""
        return "".join(self.texts)


@dataclass(frozen=True, slots=True)
class Delta:
    """What a token adds: ``text`` for ``part``, or the part itself when it is ``new``."""

    part: Part
    text: str
    new: bool = False


class Answer:
    """An answer as it grows.

    ``with_tools``: messages to functions are tool calls; without, they are hidden. ``leak`` is the defect
    that leaves control tokens in the text.
    """

    def __init__(self, *, with_tools: bool, leak: bool = False) -> None:
        from openai_harmony import Role, StreamableParser

        self.parts: list[Part] = []
        self.reasoning_tokens = 0
        self._parser = StreamableParser(encoding(), Role.ASSISTANT, strict=False)
        self._with_tools = with_tools
        self._leak = leak
        self._part: Part | None = None
        self._unread: list[int] = []
        self._between = False
        self._lost = False
        self._character_open = False

    def add(self, token_id: int, *, last: bool = False) -> list[Delta]:
        """What a token adds to the answer; with ``last`` also what was held back until now."""
        deltas = self._read(token_id)
        return deltas + self._rest() if last else deltas

    def texts(self, kind: Kind) -> list[str]:
        """The texts of all parts of a kind."""
        return [part.text for part in self.parts if part.kind == kind]

    @property
    def calls(self) -> list[Part]:
        """The tool calls."""
        return [part for part in self.parts if part.kind == "call"]

    def _read(self, token_id: int) -> list[Delta]:
        from openai_harmony import HarmonyError

        if self._between and token_id != START:
            return []
        self._between = False
        if self._lost:
            self._unread.append(token_id)
            return []
        try:
            self._parser.process(token_id)
        except HarmonyError:
            self._lost = True
            self._unread.append(token_id)
            return []
        return self._inside(self._part, token_id) if self._part else self._in_header(token_id)

    def _inside(self, part: Part, token_id: int) -> list[Delta]:
        if token_id in _ENDS:
            self._between = True
            leaked = decode([token_id]) if self._leak and token_id == END else ""
            return self._close(leaked)
        if self._parser.current_channel in {"analysis", "commentary"}:
            self.reasoning_tokens += 1
        text: str | None = self._parser.last_content_delta
        self._character_open = text is None
        return [self._say(part, text)] if text else []

    def _in_header(self, token_id: int) -> list[Delta]:
        self._unread.append(token_id)
        if token_id in _ENDS:
            self._between = True
            return self._raw()
        if token_id != MESSAGE:
            return []
        header, self._unread = self._unread, []
        part = self._part = self._new_part()
        deltas = [Delta(part, "", new=True)]
        if self._leak and part.kind != "call":
            deltas.append(self._say(part, decode(header)))
        return deltas

    def _new_part(self) -> Part:
        recipient: str = self._parser.current_recipient or ""
        if recipient.startswith("functions."):
            kind: Kind = "call" if self._with_tools else "hidden"
            part = Part(kind, recipient.removeprefix("functions.").strip())
        else:
            part = Part("reasoning" if self._parser.current_channel == "analysis" else "content")
        self.parts.append(part)
        return part

    def _close(self, leaked: str = "") -> list[Delta]:
        part, self._part = self._part, None
        text = (_UNFINISHED_CHARACTER if self._character_open else "") + leaked
        self._character_open = False
        return [self._say(part, text)] if part and text else []

    def _raw(self) -> list[Delta]:
        """The tokens of a header that did not become a message, as content."""
        text = _without_stop(self._unread)
        self._unread = []
        if not text:
            return []
        part = Part("content")
        self.parts.append(part)
        return [Delta(part, "", new=True), self._say(part, text)]

    def _rest(self) -> list[Delta]:
        return self._close() if self._part else self._raw()

    @staticmethod
    def _say(part: Part, text: str) -> Delta:
        part.texts.append(text)
        return Delta(part, text)


def _without_stop(token_ids: Sequence[int]) -> str:
    kept: Any = list(token_ids)
    while kept and kept[-1] in (*STOP_IDS, END):
        kept.pop()
    return decode(kept)
