"""Stop strings: where growing text ends, and how much of it may already be shown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["StopStrings"]


class StopStrings:
    """Watches text for the first stop string, with vLLM's rules.

    A string is looked for only after ``min_tokens`` tokens and only in text that came after them; of
    several, the one listed first wins. Text that may be the beginning of one is held back.
    """

    def __init__(self, strings: Sequence[str], *, min_tokens: int, include: bool) -> None:
        self._strings = tuple(strings)
        self._min_tokens = min_tokens
        self._include = include
        self._held = 0 if include else max((len(each) - 1 for each in self._strings), default=0)
        self._text = ""
        self._shown = 0
        self._searched = 0
        self._tokens = 0

    def add(self, text: str) -> str | None:
        """Take the text of one more token; the stop string that is now complete, if one is."""
        self._tokens += 1
        self._text += text
        if self._tokens <= self._min_tokens:
            self._searched = len(self._text)
            return None
        fresh, self._searched = self._searched, len(self._text)
        for string in self._strings:
            at = self._text.find(string, max(0, fresh - len(string) + 1))
            if at >= 0:
                self._text = self._text[: at + len(string) if self._include else at]
                return string
        return None

    def show(self, *, all_of_it: bool) -> str:
        """The text that may be shown now and was not yet."""
        until = len(self._text) if all_of_it else max(self._shown, len(self._text) - self._held)
        text = self._text[self._shown : until]
        self._shown = max(self._shown, until)
        return text
