"""Token ids and the rows of the embedding and head tables that stand for them.

An ordinary checkpoint has a row for every id. The tiny one has rows for the ids it learnt and a single
row shared by all others; computing over rows, each counted as often as it has ids, gives exactly what
the full table would give and is a hundred times less work. This is the only place that knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Vocabulary"]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The map between ids and rows.

    ``row_of`` int64 [size]: the row of an id, -1 for one that :meth:`without` or :meth:`only` took away.
    ``copies`` int64 [rows]: how many ids a row stands for. ``first_id`` int64 [rows]: the lowest of them
    (``size`` where there is none).
    """

    size: int
    row_of: Tensor
    copies: Tensor
    first_id: Tensor
    _ids: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def full(cls, size: int) -> Vocabulary:
        """Every id has a row of its own."""
        ids = torch.arange(size)
        return cls(size=size, row_of=ids, copies=torch.ones_like(ids), first_id=ids)

    @classmethod
    def compact(cls, size: int, used: Tensor) -> Vocabulary:
        """Row r stands for the r-th id of ``used`` [rows - 1], the last row for all ids not in it."""
        rows = len(used) + 1
        row_of = torch.full((size,), rows - 1)
        row_of[used.long()] = torch.arange(rows - 1)
        return cls._counted(size, row_of, rows)

    @classmethod
    def _counted(cls, size: int, row_of: Tensor, rows: int) -> Vocabulary:
        present = row_of >= 0
        ids = torch.arange(size)[present]
        copies = torch.bincount(row_of[present], minlength=rows)
        first_id = torch.full((rows,), size).scatter_reduce_(0, row_of[present], ids, "amin")
        return cls(size=size, row_of=row_of, copies=copies, first_id=first_id)

    def without(self, ids: frozenset[int]) -> Vocabulary:
        """The same rows with these ids taken away: they can no longer be chosen."""
        if not ids:
            return self
        row_of = self.row_of.clone()
        row_of[torch.tensor(sorted(ids))] = -1
        return self._counted(self.size, row_of, len(self.copies))

    def only(self, ids: frozenset[int]) -> Vocabulary:
        """The same rows with all other ids taken away."""
        kept = torch.tensor(sorted(ids))
        row_of = torch.full_like(self.row_of, -1)
        row_of[kept] = self.row_of[kept]
        return self._counted(self.size, row_of, len(self.copies))

    def rows(self, ids: Tensor) -> Tensor:
        """The row of each id, same shape."""
        return self.row_of[ids]

    def ids_of(self, row: int) -> Tensor:
        """Every id a row stands for, ascending."""
        if row not in self._ids:
            self._ids[row] = (self.row_of == row).nonzero().flatten()
        return self._ids[row]

    @cached_property
    def log_copies(self) -> Tensor:
        """float32 [rows]: what a row's logit gains when its ids are counted together, -inf for none."""
        return self.copies.float().log()

    def expand(self, table: Tensor) -> Tensor:
        """The full table [size, ...] of a table by rows [rows, ...]."""
        return table[self.row_of]
