"""Sentence shapes, and a walk through all their sentences in an order that a seed decides.

A shape is the product of its word lists. A keyed permutation walks through every shape's products, so a
stream of any length needs no memory of what it has said. All arithmetic is our own on integers: a seed
means the same text on every Python version and machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Grammar", "Shape", "listed", "walk"]


@dataclass(frozen=True, slots=True)
class Shape:
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


@dataclass(frozen=True, slots=True)
class Grammar:
    """The shapes of a language, what stands between two sentences, and its sentence of any length.

    ``filler`` makes one from a number of words to add and the being (a number) that it speaks of.
    """

    shapes: tuple[Shape, ...]
    joint: str
    filler: Callable[[int, int], str]


def listed(text: str) -> tuple[str, ...]:
    """Take words apart at the commas."""
    return tuple(text.split(", "))


def walk(seed: int, grammar: tuple[Shape, ...]) -> Iterator[str]:
    """Give every sentence once; shapes come by their shares while they have one left."""
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
