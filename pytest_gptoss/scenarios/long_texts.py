"""Long token sequences, and what is known of the chunks in which a server computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.subjects import CHUNK_FACT, ServerFacts

__all__ = ["MOST_SCORED", "SAFE_CHUNK", "LongTexts"]

SAFE_CHUNK = 2048
"""Tokens of a chunk whose log-softmax over the vocabulary fits any device that holds the model."""
MOST_SCORED = 8192
"""Most tokens of a sequence that is scored at once."""


@dataclass(frozen=True)
class LongTexts:
    """Sequences that are scored at chunk edges alone; they belong to no corpus.

    ``chunk_tokens`` is the chunk of a server that tells none, ``stated`` what the user states of each device
    (``--gptoss-info``). ``most_scored``: the user allows sequences of so many tokens; None: it depends on
    the server's chunk.
    """

    sequences: tuple[TokenSequence, ...] = ()
    chunk_tokens: int = SAFE_CHUNK
    stated: Mapping[str, int] = field(default_factory=dict)
    most_scored: int | None = None

    def known_chunk(self, device: str, server: ServerFacts | None) -> int | None:
        """The chunk that a server tells, or else that the user states; None when nobody does."""
        told = () if server is None else server.known
        counts = (each.value for each in told if each.name == CHUNK_FACT and each.value.isdecimal())
        found = next(counts, None)
        return self.stated.get(device) if found is None else int(found)
