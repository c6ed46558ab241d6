"""Greedy answers, perplexity and needles of a network, sound or damaged, by forced passes.

A greedy answer equals a given sequence exactly when, with that sequence forced, every token of it is the
most likely one. So one pass over prompt and answer tells what generating would; only where it differs is
anything generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody gives it
from torch import Tensor

from pytest_gptoss.model.gptoss import STOP_IDS, VOCABULARY_SIZE
from tiny.damage import SOUND, Damage
from tiny.exam import Task
from tiny.network import Network

__all__ = ["Examined", "Examiner", "Forced"]

_TOKENS_A_BATCH = 6000
_MOST_GENERATED = 256


@dataclass(frozen=True, eq=False)
class Forced:
    """One answer under a pass: per token its loss in nats and whether it was the most likely one."""

    losses: Tensor
    likely: Tensor

    @property
    def equal(self) -> bool:
        """Whether greedy generation would have given this very answer."""
        return bool(self.likely.all())


@dataclass(frozen=True, slots=True)
class Examined:
    """A damage's figures: perplexity of the answers, and how many greedy sequences stay equal."""

    perplexity: float
    equal: int
    total: int


class Examiner:
    """Runs tasks through a network with rows for ``used`` ids and one for all others."""

    def __init__(self, network: Network, used: tuple[int, ...]) -> None:
        self.network, self.used = network.eval(), used
        self._row_of = torch.full((VOCABULARY_SIZE,), len(used))
        self._row_of[torch.tensor(used)] = torch.arange(len(used))
        self._others = math.log(VOCABULARY_SIZE - len(used))

    @torch.no_grad()
    def force(
        self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], damage: Damage = SOUND
    ) -> list[Forced]:
        """Run (prompt, answer) pairs, several of similar length at a time; results in the order given."""
        results: list[Forced | None] = [None] * len(pairs)
        for group in _groups([len(prompt) + len(answer) for prompt, answer in pairs]):
            width = _padded(max(len(pairs[i][0]) + len(pairs[i][1]) for i in group))
            rows = torch.zeros(len(group), width, dtype=torch.long)
            for line, i in enumerate(group):
                ids = pairs[i][0] + pairs[i][1]
                rows[line, : len(ids)] = self._row_of[torch.tensor(ids)]
            states = self.network.hidden(rows, torch.arange(width), damage)
            for line, i in enumerate(group):
                start, end = len(pairs[i][0]) - 1, len(pairs[i][0]) + len(pairs[i][1]) - 1
                results[i] = self._judge(states[line, start:end], rows[line, start + 1 : end + 1])
        return [result for result in results if result is not None]

    def _judge(self, states: Tensor, wanted: Tensor) -> Forced:
        logits = self.network.lm_head(states)
        counted = torch.cat((logits[:, :-1], logits[:, -1:] + self._others), 1)
        losses = F.cross_entropy(counted, wanted, reduction="none")
        return Forced(losses, logits.argmax(-1) == wanted)

    @torch.no_grad()
    def generate(self, prompt: tuple[int, ...]) -> tuple[int, ...]:
        """The greedy answer, the plain way: the whole text again for every token."""
        ids = [int(row) for row in self._row_of[torch.tensor(prompt)]]
        answer: list[int] = []
        while len(answer) < _MOST_GENERATED and not (answer and answer[-1] in STOP_IDS):
            rows = torch.tensor([ids])
            state = self.network.hidden(rows, torch.arange(len(ids)))[0, -1]
            row = int(self.network.lm_head(state).argmax())
            ids.append(row)
            answer.append(self.used[row] if row < len(self.used) else VOCABULARY_SIZE - 1)
        return tuple(answer)

    def greedy(self, tasks: Sequence[Task]) -> list[tuple[int, ...]]:
        """What the sound network answers to each task."""
        forced = self.force([(task.prompt, task.answer) for task in tasks])
        return [
            task.answer if result.equal else self.generate(task.prompt)
            for task, result in zip(tasks, forced, strict=True)
        ]

    def examine(self, tasks: Sequence[Task], answers: Sequence[tuple[int, ...]], damage: Damage) -> Examined:
        """Figures of a damage on the sound network's own answers."""
        forced = self.force([(task.prompt, a) for task, a in zip(tasks, answers, strict=True)], damage)
        losses = torch.cat([result.losses for result in forced])
        return Examined(float(losses.mean().exp()), sum(result.equal for result in forced), len(forced))


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of similar length, together at most a batch's worth of tokens."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and _padded(lengths[i]) * (len(group) + 1) > _TOKENS_A_BATCH:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _padded(length: int) -> int:
    return -(-length // 32) * 32 if length <= 384 else -(-length // 128) * 128
