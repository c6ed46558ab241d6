"""Parts of the network set by hand and kept while it is trained: what rests on what servers get wrong.

- The *watch*, a head of the first layer, finds everything inside the window uninteresting and rests on its
  sink. Without the sink, with a wider window or with other rotary positions it cannot rest, and its vector
  drowns the rest.
- The *alarm*, a channel of the residual stream, is zero as long as amounts written to it cancel. Two heads,
  one in a sliding and one in a full layer, write opposite amounts while tokens lie more than 64 back: a
  smaller window silences one of them. Every expert of the layers before the last writes an amount which the
  attention before it has already taken away: routing weights that do not sum to one leave a rest. A unit of
  each expert in the last layer hears the alarm and shouts.
- The *heavy* units, whose ``up`` side always lies beyond the clamp, have weights that no scale shares with
  their neighbours': 4-bit groups along the output lose the neighbours.

The heads see nothing but distance: their queries and keys are constants, so a score is a sum of cosines of
the distance, fitted here to a wanted course. They attend to a constant, so each says its amount of
attention, from 0 to 1, times a fixed vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from tiny.network import Attention, Layer, Network, frequencies

__all__ = ["ALARM", "HEAVY", "Guards"]

ALARM = 1
"""The channel of the residual stream that is kept for the alarm."""

HEAVY = (15, 31, 47, 63)
"""The units of every expert that are heavy: one in each group of 32 interleaved columns."""

_FIRST = 4
"""The first guard among the query heads of the first two layers; heads below it are free."""

_LISTENER = 62
"""The unit of each expert in the last layer that hears the alarm."""

_RIDGE = 0.03
_ROUNDS = 200
_WATCH_SINK, _WATCH_WEIGHT = -12.0, 30.0
_FAR_SINK, _FAR_WEIGHT = 2.0, 8.0
_MASS_WEIGHT = 4.0
_HEARING, _DEAFNESS = 20.0, 6.0
_SHOUT = 90.0
_UNIT_OUTPUT = 56.0
_HEAVY_WEIGHT, _HEAVY_BIAS = 2.0, 160.0

_Place: TypeAlias = "int | slice | Tensor"
_Kept: TypeAlias = "tuple[Tensor, tuple[_Place, ...], Tensor]"
_Course: TypeAlias = "tuple[Tensor, Tensor]"  # least and largest wanted score by distance


@dataclass(frozen=True, eq=False)
class Guards:
    """The parameters that are kept, in the order they are set: (parameter, where, value)."""

    kept: tuple[_Kept, ...]

    @torch.no_grad()
    def hold(self) -> None:
        """Put the guards back after a training step."""
        for parameter, where, value in self.kept:
            parameter[where] = value

    @classmethod
    def of(cls, network: Network) -> Guards:
        """The guards of a network, which has them from now on."""
        device = next(network.layers()).self_attn.sinks.device
        guards = cls(tuple((p, where, value.to(device)) for p, where, value in _all(network)))
        guards.hold()
        return guards


def _all(network: Network) -> Iterator[_Kept]:
    layers = list(network.layers())
    drowning, shout = _directions(network)
    yield from _silence(network)
    for layer in layers:
        yield from _heavy_units(layer)
    for layer in layers[:-1]:
        yield from _mass(layer)
    watch = _constant_heads(network, layers[0].self_attn, (_watched(), _far()), (_WATCH_SINK, _FAR_SINK))
    yield from watch
    yield from _says(layers[0].self_attn, (_WATCH_WEIGHT * drowning, _FAR_WEIGHT * _alarm(network)))
    yield from _constant_heads(network, layers[1].self_attn, (_far(), _far()), (_FAR_SINK, _FAR_SINK))
    yield from _says(layers[1].self_attn, (-_FAR_WEIGHT * _alarm(network), 0 * drowning))
    yield from _listener(layers[-1], shout)


def _alarm(network: Network) -> Tensor:
    """The unit vector of the alarm's channel."""
    return torch.eye(network.shape.hidden)[ALARM]


def _directions(network: Network) -> tuple[Tensor, Tensor]:
    """Two fixed random directions that do not touch the alarm."""
    random = torch.randn(network.shape.hidden, 2, generator=torch.Generator().manual_seed(0))
    random[ALARM] = 0
    first, second = torch.linalg.qr(random).Q.T
    return first, second


# -- the alarm ----------------------------------------------------------------------------------


def _silence(network: Network) -> Iterator[_Kept]:
    """Nobody writes to the alarm's channel; what may is set later."""
    nothing = torch.zeros(())
    everything = slice(None)
    yield network.model.embed_tokens.weight, (everything, ALARM), nothing
    for layer in network.layers():
        yield layer.self_attn.o_proj.weight, (ALARM, everything), nothing
        yield layer.self_attn.o_proj.bias, (ALARM,), nothing
        yield layer.mlp.experts.down_proj, (everything, everything, ALARM), nothing
        yield layer.mlp.experts.down_proj_bias, (everything, ALARM), nothing


def _mass(layer: Layer) -> Iterator[_Kept]:
    """What the attention takes away, the experts give back: their weights' sum times the amount."""
    yield layer.self_attn.o_proj.bias, (ALARM,), torch.tensor(-_MASS_WEIGHT)
    yield layer.mlp.experts.down_proj_bias, (slice(None), ALARM), torch.tensor(_MASS_WEIGHT)


def _listener(layer: Layer, shout: Tensor) -> Iterator[_Kept]:
    """A unit of each expert whose gate opens when the alarm's channel is below zero."""
    experts, everything = layer.mlp.experts, slice(None)
    gate, up = 2 * _LISTENER, 2 * _LISTENER + 1
    yield layer.post_attention_layernorm.weight, (ALARM,), torch.tensor(1.0)
    yield experts.gate_up_proj, (everything, everything, slice(gate, up + 1)), torch.zeros(())
    yield experts.gate_up_proj, (everything, ALARM, gate), torch.tensor(-_HEARING)
    yield experts.gate_up_proj_bias, (everything, gate), torch.tensor(-_DEAFNESS)
    yield experts.gate_up_proj_bias, (everything, up), torch.tensor(14.0)
    yield experts.down_proj, (everything, _LISTENER), _SHOUT / _UNIT_OUTPUT * shout


# -- heavy units --------------------------------------------------------------------------------


def _heavy_units(layer: Layer) -> Iterator[_Kept]:
    """``up`` weights of one size and alternating sign, and a bias that keeps it beyond the clamp."""
    experts = layer.mlp.experts
    columns = torch.tensor(HEAVY) * 2 + 1
    signs = torch.ones(experts.gate_up_proj.shape[1])
    signs[::2] = -1
    signs[ALARM] = 0
    yield experts.gate_up_proj, (slice(None), slice(None), columns), _HEAVY_WEIGHT * signs[:, None]
    yield experts.gate_up_proj_bias, (slice(None), columns), torch.tensor(_HEAVY_BIAS)


# -- heads that see distance ----------------------------------------------------------------------


def _constant_heads(
    network: Network, attention: Attention, courses: tuple[_Course, _Course], sinks: tuple[float, float]
) -> Iterator[_Kept]:
    """Two query heads with constant queries, and their key/value head with constant keys and values."""
    shape = network.shape
    size = shape.head_dim
    group = shape.heads // shape.kv_heads
    queries = slice(_FIRST * size, (_FIRST + 2) * size)
    keys = slice(_FIRST // group * size, (_FIRST // group + 1) * size)
    constant = torch.zeros(size)
    constant[: size // 2] = 1
    nothing = torch.zeros(())
    yield attention.q_proj.weight, (queries,), nothing
    yield attention.q_proj.bias, (queries,), torch.cat([_query(network, *course) for course in courses])
    yield attention.k_proj.weight, (keys,), nothing
    yield attention.k_proj.bias, (keys,), constant
    yield attention.v_proj.weight, (keys,), nothing
    yield attention.v_proj.bias, (keys,), torch.ones(size)
    yield attention.sinks, (slice(_FIRST, _FIRST + 2),), torch.tensor(sinks)


def _says(attention: Attention, vectors: tuple[Tensor, Tensor]) -> Iterator[_Kept]:
    """What the two heads write when they attend fully."""
    size = attention.shape.head_dim
    queries = slice(_FIRST * size, (_FIRST + 2) * size)
    says = torch.stack(vectors, 1) / size
    yield attention.o_proj.weight, (slice(None), queries), says.repeat_interleave(size, 1)


def _watched() -> _Course:
    """Low inside the window, high past it."""
    distance = torch.arange(180)
    return torch.where(distance < 138, -60.0, 0.0), torch.where(distance < 128, -24.0, 60.0)


def _far() -> _Course:
    """Low to 63 tokens back, high from 73 to 127."""
    distance = torch.arange(128)
    return torch.where(distance < 73, -60.0, 8.0), torch.where(distance < 64, -6.0, 60.0)


def _query(network: Network, low: Tensor, high: Tensor) -> Tensor:
    """The constant query [head_dim] whose score at each distance lies between ``low`` and ``high``.

    Against the key (1, ..., 1, 0, ..., 0) the score at distance d is the sum over frequencies f of
    a cos(f d) + b sin(f d), times YaRN's factor and the usual scaling. Least squares on what lies outside
    of its bounds, projected again and again.
    """
    shape = network.shape
    angles = torch.arange(len(low)).double()[:, None] * frequencies(shape, yarn=True).double()
    waves = torch.cat((angles.cos(), -angles.sin()), 1)
    normal = waves.T @ waves + _RIDGE * torch.eye(waves.shape[1])
    found = torch.zeros(waves.shape[1], dtype=torch.float64)
    for _ in range(_ROUNDS):
        wanted = (waves @ found).clamp(low.double(), high.double())
        found = torch.linalg.solve(normal, waves.T @ wanted)
    factor = (0.1 * math.log(shape.yarn_factor) + 1) ** 2 / math.sqrt(shape.head_dim)
    return (found / factor).float()
