"""The fixed token sequences that perplexity and hidden states are measured on.

Token ids, not texts, so that every device scores the very same input. A file holds a list of objects:
``id``, ``tags``, ``text`` (for people), ``token_ids`` and ``first``, the first scored position.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_gptoss.model import resources
from pytest_gptoss.model.gptoss import VOCABULARY_SIZE
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.scenarios import json_list
from pytest_gptoss.scenarios.json_list import Entry, described

__all__ = ["Corpus", "load_file", "load_shipped", "parse"]

_KEYS = ("id", "tags", "text", "token_ids", "first")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Token sequences under one name; ``sha256`` is over their canonical JSON, texts left out."""

    name: str
    sequences: tuple[TokenSequence, ...]
    sha256: str


def load_shipped(name: str) -> Corpus:
    """Load a corpus that comes with the package: "default" or "embedded".

    Raises GptossError when there is none of that name.
    """
    return load_file(resources.fixture("corpus", f"{name}.json"), name=name)


def load_file(path: Path, *, name: str | None = None) -> Corpus:
    """Load a corpus from a file; ``name`` is the file's own, without its ending, unless given.

    Raises UsageError naming the file, the entry and the field at fault.
    """
    return parse(json_list.parse(json_list.read(path), str(path)), origin=str(path), name=name or path.stem)


def parse(value: Json, *, origin: str, name: str) -> Corpus:
    """Make a corpus of parsed JSON; ``origin`` names its file in a UsageError."""
    sequences: dict[str, TokenSequence] = {}
    for entry in json_list.entries(value, origin):
        sequence = _sequence(entry)
        if sequence.id in sequences:
            entry.refuse("id", f"{described(sequence.id)} comes twice; ids must differ")
        sequences[sequence.id] = sequence
    kept = tuple(sequences.values())
    canonical = json.dumps([asdict(sequence) for sequence in kept], sort_keys=True, separators=(",", ":"))
    return Corpus(name, kept, hashlib.sha256(canonical.encode("ascii")).hexdigest())


def _sequence(entry: Entry) -> TokenSequence:
    value = entry.value
    if not isinstance(value, dict):
        entry.refuse("", f"{described(value)} is no sequence; write an object with {', '.join(_KEYS)}")
    entry.known_keys(_KEYS)
    for key in _KEYS:
        if key not in value:
            entry.refuse(key, f"it is missing; an entry has {', '.join(_KEYS)}")
    entry.text("text", value["text"])
    token_ids = _token_ids(entry)
    return TokenSequence(
        entry.name("id", value["id"]),
        token_ids,
        first=_first(entry, len(token_ids)),
        tags=entry.names("tags", value["tags"]),
    )


def _token_ids(entry: Entry) -> tuple[int, ...]:
    ids = entry.value["token_ids"]
    if not isinstance(ids, list) or len(ids) < 2:
        entry.refuse("token_ids", "at least two ids are needed: the first is given, the others are scored")
    for index, token in enumerate(ids):
        if not _is_whole(token) or not 0 <= token < VOCABULARY_SIZE:
            entry.refuse(
                f"token_ids[{index}]",
                f"{described(token)} is no token id; ids are whole numbers from 0 to {VOCABULARY_SIZE - 1}",
            )
    return tuple(ids)


def _first(entry: Entry, length: int) -> int:
    first = entry.value["first"]
    if not isinstance(first, int) or not _is_whole(first) or not 1 <= first < length:
        entry.refuse(
            "first",
            f"{described(first)} is no position to score from; with {length} ids: 1 to {length - 1}",
        )
    return first


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
