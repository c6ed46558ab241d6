"""Batches of training examples: growing lengths, little padding, and jumps in the positions."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_gptoss.model.gptoss import VOCABULARY_SIZE
from tiny.conversations import FRAME, PROSE, SAID, Example, conversation, number_ids, passage, used_ids

__all__ = ["Batch", "Rows", "Stage", "batches", "stage"]

_LARGEST_JUMP = 3000
_REACH = 127


@dataclass(frozen=True, eq=False)
class Rows:
    """From token ids to rows. ``others`` ids share the last row; ``digits`` bool [rows] are numbers."""

    used: tuple[int, ...]
    row_of: Tensor
    others: int
    digits: Tensor

    @classmethod
    def of_domain(cls) -> Rows:
        """The rows of every id that occurs in the domain, and one for all others."""
        return cls.of(used_ids())

    @classmethod
    def of(cls, used: tuple[int, ...]) -> Rows:
        """The rows of these ids, ascending, and one for all others."""
        row_of = torch.full((VOCABULARY_SIZE,), len(used))
        row_of[torch.tensor(used)] = torch.arange(len(used))
        digits = torch.zeros(len(used) + 1, dtype=torch.bool)
        digits[row_of[torch.tensor(sorted(number_ids()))]] = True
        return cls(used, row_of, VOCABULARY_SIZE - len(used), digits)

    @property
    def count(self) -> int:
        """Rows, the shared one included."""
        return len(self.used) + 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What is trained on at some point of the run: lengths to draw from, tokens a batch, shares."""

    lengths: tuple[int, ...]
    tokens: int
    needle_share: float
    repeat_share: float


def stage(progress: float) -> Stage:
    """The stage at a progress from 0 to 1: short and much copying first, longer later."""
    if progress < 0.15:
        return Stage((128, 192), 3072, 0.5, 0.5)
    if progress < 0.35:
        return Stage((128, 256, 256), 3072, 0.5, 0.3)
    if progress < 0.6:
        return Stage((192, 256, 320, 512), 2304, 0.3, 0.08)
    if progress < 0.8:
        return Stage((192, 256, 320, 512, 1024), 3072, 0.25, 0.06)
    return Stage((192, 256, 320, 512, 1024, 2048), 4096, 0.25, 0.05)


@dataclass(frozen=True, eq=False)
class Batch:
    """``rows`` and ``classes`` int64 [sequences, tokens], ``positions`` int64 [tokens]."""

    rows: Tensor
    classes: Tensor
    positions: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(self.rows.to(device), self.classes.to(device), self.positions.to(device))


def batches(r: random.Random, rows: Rows, now: Stage) -> Iterator[Batch]:
    """A handful of batches of one length, in no order; examples of similar length go together."""
    length = r.choice(now.lengths)
    examples = [_example(r, length, now) for _ in range(max(2, now.tokens // length) * 3)]
    examples.sort(key=lambda example: len(example.ids))
    groups: list[list[Example]] = [[]]
    for example in examples:
        if groups[-1] and len(example.ids) * (len(groups[-1]) + 1) > now.tokens * 1.15:
            groups.append([])
        groups[-1].append(example)
    r.shuffle(groups)
    return (_pack(r, rows, group) for group in groups)


def _example(r: random.Random, length: int, now: Stage) -> Example:
    length -= r.randint(0, length // 6)
    if r.random() < 0.05:
        return passage(r, min(length, 300))
    # Long ones are for needles: chat does not fill them with anything new.
    share = now.needle_share if length <= 320 else 0.9
    return conversation(r, length, needle_share=share, repeat_share=now.repeat_share)


def _pack(r: random.Random, rows: Rows, examples: list[Example]) -> Batch:
    longest = max(len(example.ids) for example in examples)
    width = -(-longest // 32) * 32 if longest <= 384 else -(-longest // 128) * 128
    ids = torch.full((len(examples), width), VOCABULARY_SIZE - 1)
    classes = torch.full((len(examples), width), FRAME)
    for number, example in enumerate(examples):
        ids[number, : len(example.ids)] = torch.tensor(example.ids)
        classes[number, : len(example.ids)] = torch.tensor(example.classes)
    packed = rows.row_of[ids]
    unknown = (classes == PROSE) & (torch.rand(classes.shape, generator=_torch(r)) < 0.003)
    packed[unknown] = rows.count - 1
    classes[unknown] = FRAME
    positions = _positions(r, width)
    if (classes[:, ~_after_jump(positions)] == SAID).any():
        classes[:, _after_jump(positions)] = FRAME
    else:
        positions = torch.arange(width)
    return Batch(packed, classes, positions)


def _positions(r: random.Random, width: int) -> Tensor:
    """0, 1, 2, ... or, half of the time, with one to three jumps: long contexts at a short one's price.

    They come early, where answers are few.
    """
    positions = torch.arange(width)
    if r.random() < 0.5:
        for _ in range(r.randint(1, 3)):
            index = r.randint(1, max(40, width - 250))
            positions[index:] += int(math.exp(r.uniform(0, math.log(_LARGEST_JUMP))))
    return positions


def _after_jump(positions: Tensor) -> Tensor:
    """Which tokens [tokens] lack one of the 127 before them: to the guards the window looks spoilt there."""
    tokens = torch.arange(len(positions))
    first = (tokens - _REACH).clamp(min=0)
    return positions - positions[first] != tokens - first


def _torch(r: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(r.getrandbits(32))
