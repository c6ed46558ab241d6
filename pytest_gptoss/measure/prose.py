"""Seeded prose in which no sentence comes twice.

Needle tests, load prompts and the training of the tiny checkpoint all read from here, so what that
checkpoint learnt is what it is asked. A grammar is a few sentence shapes, each the product of its word
lists; a keyed permutation walks through every shape's products, so a stream of any length needs no
memory of what it has said. All arithmetic is our own on integers: a seed means the same text on every
Python version and machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

__all__ = ["LANGUAGES", "capacity", "filler", "sentences", "text", "words"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A sentence with gaps, the words for each gap, and its share of the text in percent."""

    share: int
    template: str
    gaps: tuple[tuple[str, ...], ...]

    @property
    def size(self) -> int:
        """How many different sentences the shape has."""
        return math.prod(len(gap) for gap in self.gaps)

    def sentence(self, index: int) -> str:
        """Sentence number ``index`` (0 <= index < size): the words of its mixed-radix digits."""
        chosen = []
        for gap in self.gaps:
            index, digit = divmod(index, len(gap))
            chosen.append(gap[digit])
        return self.template.format(*chosen)


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_TRAITS = _list("old, young, small, big, red, green, quiet, happy, brown, white, clever, gentle")
_BEINGS = _list("dog, cat, horse, bird, farmer, teacher, baker, sailor, child, doctor, painter, rabbit")
_ACTIONS = _list("walks, runs, sits, sleeps, waits, sings, rests, works, plays, stands")
_RELATIONS = _list("near, behind, under, beside, in front of, next to, far from, close to, around, inside")
_PLACES = _list(
    "river, garden, house, market, bridge, forest, school, old mill, lake, station, window, green hill"
)
_THINGS = _list("grass, sky, sea, snow, bread, milk, apple, sun, moon, stone, door, road, coat, lamp")
_QUALITIES = _list(
    "green, blue, wide, white, fresh, cold, sweet, warm, round, heavy, open, long, thick, bright"
)
_TIMES = _list(
    "In the morning, At noon, In the evening, At night, Every day, On Sunday, In winter, In summer"
)
_ASIDES = (
    "The weather was fine all week.",
    "People come and go in the town.",
    "Nothing else happened that day.",
    "The train arrives at nine.",
    "They drink tea after lunch.",
    "A letter came from the city.",
    "The children read a book together.",
    "We buy fruit at the shop.",
    "The clock on the wall is slow.",
    "Rain falls softly on the roof.",
)

_GRAMMARS: Mapping[str, tuple[_Shape, ...]] = {
    "en": (
        _Shape(40, "The {} {} {} {} the {}.", (_TRAITS, _BEINGS, _ACTIONS, _RELATIONS, _PLACES)),
        _Shape(20, "The {} is {}.", (_THINGS, _QUALITIES)),
        _Shape(25, "{} the {} {} {} the {}.", (_TIMES, _BEINGS, _ACTIONS, _RELATIONS, _PLACES)),
        _Shape(15, "{}", (_ASIDES,)),
    ),
}

LANGUAGES = tuple(_GRAMMARS)
"""The languages there is prose in."""


def sentences(seed: int, language: str = "en") -> Iterator[str]:
    """Give every sentence of the language once, in an order that only the seed decides.

    Shapes come by their shares; one whose sentences are all said leaves its share to the others. The
    stream ends after ``capacity(language)`` sentences (English: 288,206, over two million tokens).

    Raises ValueError where there is no prose in that language.
    """
    return _walk(seed, _grammar(language))


def text(seed: int, sentences: int, language: str = "en") -> str:
    """Join the first ``sentences`` sentences of the stream by spaces.

    Raises ValueError where there is no prose in that language, or it has fewer sentences than that.
    """
    most = capacity(language)
    if not 0 <= sentences <= most:
        raise ValueError(
            f"{sentences} sentences of language {language!r} were asked for, "
            f"it has between 0 and {most} without repeating one: ask for fewer"
        )
    return " ".join(islice(_walk(seed, _grammar(language)), sentences))


def filler(words: int, turn: int = 0) -> str:
    """One English sentence made longer by ``words`` adjectives: it fits a text to a length in tokens.

    ``turn`` says it of another being, whose name may have another length.
    """
    chosen = "".join(f"{_TRAITS[number % len(_TRAITS)]} " for number in range(words))
    return f"The {chosen}{_BEINGS[turn % len(_BEINGS)]} sits near the river."


def capacity(language: str = "en") -> int:
    """Count the different sentences of a language.

    Raises ValueError where there is no prose in that language.
    """
    return sum(shape.size for shape in _grammar(language))


def words(language: str = "en") -> frozenset[str]:
    """List every word its sentences can hold, without the full stop, in the spelling they have there.

    Raises ValueError where there is no prose in that language.
    """
    pieces: list[str] = []
    for shape in _grammar(language):
        pieces += shape.template.replace("{}", " ").split()
        pieces += (word for gap in shape.gaps for entry in gap for word in entry.split())
    return frozenset(stripped for piece in pieces if (stripped := piece.rstrip(".")))


def _grammar(language: str) -> tuple[_Shape, ...]:
    try:
        return _GRAMMARS[language]
    except KeyError:
        raise ValueError(
            f"there is no prose in language {language!r}: choose one of {', '.join(LANGUAGES)}"
        ) from None


def _walk(seed: int, grammar: tuple[_Shape, ...]) -> Iterator[str]:
    orders = [_shuffled(shape.size, _key(seed, number)) for number, shape in enumerate(grammar)]
    left = [shape.size for shape in grammar]
    choices = _uniform(_key(seed, len(grammar)))
    while any(left):
        shares = [shape.share if rest else 0 for shape, rest in zip(grammar, left, strict=True)]
        chosen = _pick(shares, next(choices))
        left[chosen] -= 1
        yield grammar[chosen].sentence(next(orders[chosen]))


def _pick(shares: list[int], point: int) -> int:
    """Say which share ``point``, uniform over 64 bits, falls into."""
    point = point * sum(shares) >> 64
    for number, share in enumerate(shares):
        point -= share
        if point < 0:
            return number
    raise AssertionError("a point below the sum of the shares lies in one of them")


# -- numbers ----------------------------------------------------------------------------------

_MASK = 2**64 - 1
_ROUNDS = 6


def _key(seed: int, purpose: int) -> int:
    """64 bits that differ by seed and by purpose; SHA-256 keeps neighbouring seeds apart."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big")


def _mix(value: int) -> int:
    """Stir 64 bits: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable PRNGs, OOPSLA 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def _uniform(key: int) -> Iterator[int]:
    """Give uniform 64-bit numbers without end: SplitMix64 from state ``key``."""
    while True:
        key = key + 0x9E3779B97F4A7C15 & _MASK
        yield _mix(key)


def _shuffled(size: int, key: int) -> Iterator[int]:
    """Give all numbers below ``size`` once each, in an order set by ``key``.

    A balanced Feistel network permutes the smallest even-bit range that holds them (Luby and Rackoff,
    SIAM J. Comput. 17(2), 1988); results at or past ``size`` are passed over (Black and Rogaway,
    CT-RSA 2002), of which there are on average fewer than four for each one kept.
    """
    half = ((size - 1).bit_length() + 1) // 2
    low = (1 << half) - 1
    source = _uniform(key)
    keys = [next(source) for _ in range(_ROUNDS)]
    for number in range(1 << 2 * half):
        left, right = number >> half, number & low
        for round_key in keys:
            left, right = right, left ^ _mix(right ^ round_key) & low
        value = left << half | right
        if value < size:
            yield value
