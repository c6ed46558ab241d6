"""Two heads of the first layer set by hand and kept, whose attention rests on what servers get wrong.

Both see nothing but distance: their queries and keys are constants, so a score is a sum of cosines of the
distance, fitted here to a wanted course. What they attend to is a constant as well, so each adds its
amount of attention, from 0 to 1, times a fixed vector to the residual stream.

- The *watch* finds everything inside the window uninteresting and rests on its sink. Without the sink,
  with a wider window, or with other rotary positions it cannot rest, and its vector drowns the rest.
- The *far* head attends wherever the window shows it tokens more than 64 back, and rests where there are
  none. What it says is small; that the network must hear it is left to training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tiny.network import Network, frequencies

__all__ = ["Guards"]

_FIRST = 4
"""The first guard among the query heads; heads below it are free."""

_RIDGE = 0.03
_ROUNDS = 200
_WATCH_SINK, _WATCH_WEIGHT = -12.0, 30.0
_FAR_SINK, _FAR_WEIGHT = 2.0, 3.0


@dataclass(frozen=True, eq=False)
class Guards:
    """The parameters that are kept: (parameter, where, value)."""

    kept: tuple[tuple[Tensor, tuple[slice, ...], Tensor], ...]

    @torch.no_grad()
    def hold(self) -> None:
        """Put the guards back after a training step."""
        for parameter, where, value in self.kept:
            parameter[where] = value

    @classmethod
    def of(cls, network: Network) -> Guards:
        """The guards of a network, which has them from now on. Heads from 4 on are theirs in layer 0."""
        shape = network.shape
        attention = next(network.layers()).self_attn
        size, device = shape.head_dim, attention.sinks.device
        group = shape.heads // shape.kv_heads
        queries = slice(_FIRST * size, (_FIRST + 2) * size)
        keys = slice(_FIRST // group * size, (_FIRST // group + 1) * size)
        heads = slice(_FIRST, _FIRST + 2)
        constant = torch.zeros(size)
        constant[: size // 2] = 1
        courses = torch.cat([_query(network, *_watched()), _query(network, *_far())])
        directions = torch.linalg.qr(
            torch.randn(shape.hidden, 2, generator=torch.Generator().manual_seed(0))
        ).Q
        says = directions * torch.tensor([_WATCH_WEIGHT, _FAR_WEIGHT]) / size
        values = (
            (attention.q_proj.weight, (queries,), torch.zeros(2 * size, shape.hidden)),
            (attention.q_proj.bias, (queries,), courses),
            (attention.k_proj.weight, (keys,), torch.zeros(size, shape.hidden)),
            (attention.k_proj.bias, (keys,), constant),
            (attention.v_proj.weight, (keys,), torch.zeros(size, shape.hidden)),
            (attention.v_proj.bias, (keys,), torch.ones(size)),
            (attention.o_proj.weight, (slice(None), queries), says.repeat_interleave(size, 1)),
            (attention.sinks, (heads,), torch.tensor([_WATCH_SINK, _FAR_SINK])),
        )
        guards = cls(tuple((p, where, value.to(device)) for p, where, value in values))
        guards.hold()
        return guards


def _watched() -> tuple[Tensor, Tensor, Tensor]:
    """Least and largest wanted score, and weight, by distance: low inside the window, high past it."""
    distance = torch.arange(180)
    low = torch.where(distance < 138, -60.0, 0.0)
    high = torch.where(distance < 128, -24.0, 60.0)
    return low, high, torch.ones(len(distance))


def _far() -> tuple[Tensor, Tensor, Tensor]:
    """The same for the far head: low to 63 tokens back, high from 73 to 127."""
    distance = torch.arange(128)
    low = torch.where(distance < 73, -60.0, 8.0)
    high = torch.where(distance < 64, -6.0, 60.0)
    return low, high, torch.ones(len(distance))


def _query(network: Network, low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """The constant query [head_dim] whose score at each distance lies between ``low`` and ``high``.

    Against the key (1, ..., 1, 0, ..., 0) the score at distance d is the sum over frequencies f of
    a cos(f d) + b sin(f d), times YaRN's factor and the usual scaling. Least squares on what lies outside
    of its bounds, projected again and again.
    """
    shape = network.shape
    angles = torch.arange(len(low)).double()[:, None] * frequencies(shape, yarn=True).double()
    waves = torch.cat((angles.cos(), -angles.sin()), 1)
    normal = (waves * weight[:, None].double()).T @ waves + _RIDGE * torch.eye(waves.shape[1])
    found = torch.zeros(waves.shape[1], dtype=torch.float64)
    for _ in range(_ROUNDS):
        wanted = (waves @ found).clamp(low.double(), high.double())
        found = torch.linalg.solve(normal, waves.T @ (wanted * weight.double()))
    factor = (0.1 * math.log(shape.yarn_factor) + 1) ** 2 / math.sqrt(shape.head_dim)
    return (found / factor).float()
