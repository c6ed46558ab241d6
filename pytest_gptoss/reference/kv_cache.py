"""Keys and values of running sequences, grown by need and freed with them.

Sequences of about the same length live side by side in one pen, so that a step can attend for all of
them in one product; one that outgrows its pen moves to the next, twice as wide. Memory thus follows
what the sequences hold, never slots times the longest context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Block", "CachePool", "CacheShape", "KeyValueCache", "Pen"]

_FIRST_WIDTH = 256

Block: TypeAlias = tuple[Tensor, Tensor]
"""Keys [layers, heads, head_dim, n] and values [layers, heads, n, head_dim] of n tokens."""


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What one token's keys and values take: ``layers`` x 2 x ``heads`` x ``head_dim`` of ``dtype``."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype


class Pen:
    """Room for sequences of at most ``width`` tokens; its tenants always have the first slots.

    ``keys`` [layers, slots, heads, head_dim, width], transposed because that multiplies faster;
    ``values`` [layers, slots, heads, width, head_dim]. Pages never written cost no memory.
    """

    def __init__(self, shape: CacheShape, width: int) -> None:
        self.width = width
        self.tenants: list[KeyValueCache] = []
        self._shape = shape
        self.keys, self.values = self._room(1)

    def _room(self, slots: int) -> Block:
        shape = self._shape
        return (
            torch.zeros(shape.layers, slots, shape.heads, shape.head_dim, self.width, dtype=shape.dtype),
            torch.zeros(shape.layers, slots, shape.heads, self.width, shape.head_dim, dtype=shape.dtype),
        )

    def admit(self, cache: KeyValueCache) -> int:
        """Give a slot, doubling their number if none is free."""
        slot = len(self.tenants)
        if slot == self.keys.shape[1]:
            keys, values = self._room(2 * slot)
            keys[:, :slot], values[:, :slot] = self.keys, self.values
            self.keys, self.values = keys, values
        self.tenants.append(cache)
        return slot

    def dismiss(self, slot: int) -> None:
        """Free a slot; the last tenant moves into it."""
        last = self.tenants.pop()
        if slot < len(self.tenants):
            self.keys[:, slot], self.values[:, slot] = self.keys[:, last.slot], self.values[:, last.slot]
            self.tenants[slot] = last
            last.slot = slot


class CachePool:
    """All pens of one engine. Not safe for two threads.

    ``shift_from`` is the kv-shift defect: from there on values, but not keys, are stored one row late,
    while readers go on looking where they always did.
    """

    def __init__(self, shape: CacheShape, *, shift_from: int | None = None) -> None:
        self.shape = shape
        self.shift_from = shift_from
        self._pens: dict[int, Pen] = {}

    def pen(self, tokens: int) -> Pen:
        """The narrowest pen that holds so many tokens."""
        width = max(_FIRST_WIDTH, 1 << (tokens - 1).bit_length())
        if width not in self._pens:
            self._pens[width] = Pen(self.shape, width)
        return self._pens[width]

    def drop_if_empty(self, pen: Pen) -> None:
        """Give a pen's memory back once nobody lives in it."""
        if not pen.tenants:
            self._pens.pop(pen.width, None)

    @property
    def held_bytes(self) -> int:
        """Memory the pens may take once every page of them is written."""
        return sum(pen.keys.nbytes + pen.values.nbytes for pen in self._pens.values())


class KeyValueCache:
    """One sequence's part of the pool; ``length`` tokens are complete in every layer.

    ``left_behind`` is the abort-leak defect: rows of a sequence that was here before, which stay where
    this one's first rows should be.
    """

    def __init__(self, pool: CachePool) -> None:
        self.length = 0
        self.slot = 0
        self.pen: Pen | None = None
        self.left_behind: Block | None = None
        self._pool = pool

    @property
    def home(self) -> Pen:
        """The pen it lives in; a cache without one was released or never reserved."""
        if self.pen is None:
            raise RuntimeError("the cache has no pen: reserve room for it first")
        return self.pen

    def reserve(self, tokens: int) -> Pen:
        """Make room for ``tokens`` in all, moving to a wider pen if need be."""
        needed = tokens + (self._pool.shift_from is not None)
        if self.pen is not None and needed <= self.pen.width:
            return self.pen
        pen = self._pool.pen(needed)
        slot = pen.admit(self)
        if self.pen is not None:
            kept = self.value_row(self.length)
            pen.keys[:, slot, :, :, :kept] = self.pen.keys[:, self.slot, :, :, :kept]
            pen.values[:, slot, :, :kept] = self.pen.values[:, self.slot, :, :kept]
            self._move_out()
        self.pen, self.slot = pen, slot
        return pen

    def release(self) -> None:
        """Leave the pool; what was held is lost, and the cache is empty. Safe to call twice."""
        self._move_out()
        self.length = 0

    def _move_out(self) -> None:
        if self.pen is not None:
            self.pen.dismiss(self.slot)
            self._pool.drop_if_empty(self.pen)
            self.pen = None

    def value_row(self, position: int) -> int:
        """Where the value of a position is stored; its key is at the position itself."""
        shift_from = self._pool.shift_from
        return position if shift_from is None or position < shift_from else position + 1

    def write(self, layer: int, start: int, keys: Tensor, values: Tensor) -> None:
        """Store ``keys`` and ``values`` [heads, n, head_dim] of positions ``start`` to ``start + n``."""
        pen, end = self.home, start + keys.shape[1]
        pen.keys[layer, self.slot, :, :, start:end] = keys.mT
        first, last = self.value_row(start), self.value_row(end - 1)
        if last - first == end - 1 - start:
            pen.values[layer, self.slot, :, first : last + 1] = values
        else:
            rows = [self.value_row(position) for position in range(start, end)]
            pen.values[layer, self.slot, :, torch.tensor(rows)] = values.to(pen.values.dtype)
        if self.left_behind is not None:
            self._put_back(self.left_behind, slice(layer, layer + 1), end)

    def read(self, layer: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Views of the keys [heads, head_dim, n] and values [heads, n, head_dim] of some rows."""
        pen = self.home
        return pen.keys[layer, self.slot, :, :, start:stop], pen.values[layer, self.slot, :, start:stop]

    def copy(self, start: int, stop: int) -> Block:
        """A copy of some rows in all layers."""
        pen = self.home
        return (
            pen.keys[:, self.slot, :, :, start:stop].clone(),
            pen.values[:, self.slot, :, start:stop].clone(),
        )

    def fill(self, block: Block) -> None:
        """Begin with what :meth:`copy` once gave for the first tokens of an equal sequence."""
        keys, values = block
        tokens = keys.shape[3]
        pen = self.reserve(tokens)
        pen.keys[:, self.slot, :, :, :tokens] = keys
        pen.values[:, self.slot, :, :tokens] = values
        self.length = tokens
        if self.left_behind is not None:
            self._put_back(self.left_behind, slice(None), tokens)

    def _put_back(self, block: Block, layers: slice, end: int) -> None:
        """Overwrite the first rows, of ``end`` that are filled, with those of a ``block``."""
        pen, (keys, values) = self.home, block
        rows = min(end, keys.shape[3])
        pen.keys[layers, self.slot, :, :, :rows] = keys[layers, ..., :rows]
        pen.values[layers, self.slot, :, :rows] = values[layers, :, :rows]
