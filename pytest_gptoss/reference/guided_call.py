"""A tool call that must come: which tokens may follow, as vLLM's structural tag for harmony allows them.

The model may think first: an analysis message of any text. Then comes one call, whose header names an
allowed function and whose arguments keep its schema, and the call's stop token. Where one token is
possible it is taken, else the most likely of the possible ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_gptoss.model.gptoss import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, START
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.json_prefix import progress
from pytest_gptoss.reference.tokens import decode, encode, is_special

__all__ = ["GuidedCall"]

_ANALYSIS = 35644
"""The one token of "analysis"."""


@dataclass(frozen=True)
class GuidedCall:
    """The functions that may be called: name -> JSON Schema of the parameters."""

    functions: Mapping[str, Json]

    def choose(self, said: Sequence[int], likely: Iterable[int]) -> int:
        """The next token after ``said``; ``likely`` gives every id, the most likely first."""
        thinks = list(said[:2]) == [CHANNEL, _ANALYSIS]
        if not thinks:
            return self._in_call(said, likely, thought=False)
        if len(said) == 2:
            return MESSAGE
        if END not in said:
            return next(token for token in likely if token == END or not is_special(token))
        return self._in_call(said[list(said).index(END) + 1 :], likely, thought=True)

    def _in_call(self, call: Sequence[int], likely: Iterable[int], *, thought: bool) -> int:
        """The next token of the call's message, of which ``call`` stands already."""
        possible: set[int] = set()
        for name, schema in self.functions.items():
            header = self._header(name, thought=thought)
            if list(call[: len(header)]) == header:
                return self._argument(call[len(header) :], schema, likely)
            if header[: len(call)] == list(call):
                possible.add(header[len(call)])
        if not thought and list(call) == [CHANNEL]:
            possible.add(_ANALYSIS)
        return next(token for token in likely if token in possible)

    @staticmethod
    def _header(name: str, *, thought: bool) -> list[int]:
        opening = [START, *encode("assistant")] if thought else []
        recipient = encode(f"commentary to=functions.{name} ")
        return [*opening, CHANNEL, *recipient, CONSTRAIN, *encode("json"), MESSAGE]

    @staticmethod
    def _argument(said: Sequence[int], schema: Mapping[str, Json], likely: Iterable[int]) -> int:
        text = decode(said)
        if progress(text, schema) == "done":
            return CALL
        return next(
            token
            for token in likely
            if not is_special(token) and progress(text + decode([token]), schema) != "wrong"
        )
