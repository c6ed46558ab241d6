"""A server's address, the model it serves and its API key, which is kept secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.key_variables import KEY_VARIABLE
from pytest_gptoss.model.message import Message
from pytest_gptoss.model.urls import server_root

__all__ = ["Endpoint", "Secret"]

_KEY_TEXT = re.compile(r"[!-~]+")
_SHORTEST_PIECE = 3
_SHORTEST_TELLTALE = 12


class Secret:
    """An API key that only ``reveal`` gives; ``str`` and ``repr`` give three stars, and pickling raises.

    White space around it is removed. Raises UsageError when no HTTP header could carry it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        stripped = value.strip()
        if not _KEY_TEXT.fullmatch(stripped):
            raise UsageError(
                f"an API key of {len(stripped)} characters: it must be visible ASCII without spaces, "
                f"as an HTTP header carries it; set {KEY_VARIABLE} anew"
            )
        self._value = stripped

    def reveal(self) -> str:
        """The key itself, for the Authorization header only."""
        return self._value

    def scrub(self, text: str) -> str:
        """``text`` without the key, which a server may echo: plain, escaped, or cut off by ``...``.

        A message stays one where its values can be scrubbed for themselves.
        """
        plain = self._plainly_scrubbed(text)
        if plain == text:
            return text
        changed = text.changed(self._plainly_scrubbed) if isinstance(text, Message) else plain
        return changed if changed == plain else plain

    def _plainly_scrubbed(self, text: str) -> str:
        for written in {self._value, repr(self._value)[1:-1], json.dumps(self._value)[1:-1]}:
            text = text.replace(written, "***")
            for length in range(len(written) - 1, _SHORTEST_PIECE - 1, -1):
                text = text.replace(f"{written[:length]}...", "***...")
        return text

    def stands_in(self, text: str) -> bool:
        """Whether a text holds the key; never one of under 12 characters, which may be a word (EMPTY)."""
        return len(self._value) >= _SHORTEST_TELLTALE and self._value in text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere, not even pickled")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: ``root`` without a slash at its end, the served model's name, and the key it wants.

    ``model`` None means the one the server lists; ``api_key`` None means no key is sent.
    """

    root: str
    model: str | None = None
    api_key: Secret | None = None

    @classmethod
    def parse(cls, url: str, *, model: str | None = None, api_key: Secret | None = None) -> Endpoint:
        """Read a server root, ``.../v1``, or a full ``.../v1/chat/completions`` or ``.../v1/completions``.

        A path before these (a proxy's) is kept. Raises UsageError naming value, rule and way out; a
        password in the value is not repeated.
        """
        return cls(server_root(url), model, api_key)

    def url(self, path: str) -> str:
        """Full URL of a path such as ``/v1/models``."""
        return f"{self.root}{path}"
