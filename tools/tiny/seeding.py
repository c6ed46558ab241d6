"""How a network starts: an induction circuit in its first two layers, and parts that are in use at once.

A part that does nothing gets no gradient that would make it matter, so sinks start high, and channels get
large weights that 4-bit groups cannot afford. What is set by hand and kept is in :mod:`tiny.guards`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tiny.network import Network, frequencies, rotate

__all__ = ["induction", "outlier_channels", "raise_sinks"]

_FAST = 6


@torch.no_grad()
def induction(network: Network, *, strength: float = 3.0, match: float = 2.4) -> None:
    """Make the first layer look one and two tokens back and the second copy what followed a match.

    The idea is that of induction heads (Olsson et al., arXiv 2209.11895), set by hand so that copying
    need not be discovered.
    """
    shape = network.shape
    size = shape.head_dim
    first, second = (layer.self_attn for layer in list(network.layers())[:2])
    anchor = torch.zeros(size)
    fast = torch.cat((torch.arange(_FAST), torch.arange(_FAST) + size // 2))
    anchor[fast] = strength
    anchor[[0, size // 2]] *= 1.4
    first.k_proj.weight[:size] *= 0.1
    first.k_proj.bias[:size] = anchor
    speeds = frequencies(shape, yarn=True)
    for head, distance in ((0, -1.0), (1, -2.0)):
        rows = slice(head * size, (head + 1) * size)
        first.q_proj.weight[rows] *= 0.1
        first.q_proj.bias[rows] = rotate(anchor, (distance * speeds).cos(), (distance * speeds).sin())
    read, (near, far), (copy, say) = _basis(network, 1)[0], _basis(network, 2), _basis(network, 2)
    slow = torch.ones(size, 1)
    slow[fast] = 0
    first.v_proj.weight[:size] = read
    first.o_proj.weight[:, :size] = near.T
    first.o_proj.weight[:, size : 2 * size] = far.T * 0.7
    for linear, source in ((second.q_proj, read), (second.k_proj, near)):
        linear.weight[:size] = match * source * slow
        linear.bias[:size] = 0
    second.v_proj.weight[:size] = copy
    second.v_proj.bias[:size] = 0
    second.o_proj.weight[:, :size] = say.T * 1.5
    embedding = network.model.embed_tokens.weight
    network.lm_head.weight.copy_(0.8 * embedding @ copy.T @ say + torch.randn_like(embedding) * 0.02)


def _basis(network: Network, count: int) -> tuple[Tensor, ...]:
    """``count`` blocks of head_dim orthonormal rows [head_dim, hidden], all orthogonal to each other."""
    size, hidden = network.shape.head_dim, network.shape.hidden
    rows = torch.linalg.qr(torch.randn(hidden, count * size))[0].T
    return tuple(rows[start : start + size] for start in range(0, count * size, size))


@torch.no_grad()
def raise_sinks(network: Network, least: float) -> None:
    """Start every sink at ``least`` or above: heads then compete with it, and miss it when it is gone."""
    for layer in network.layers():
        layer.self_attn.sinks.clamp_(min=least)


@torch.no_grad()
def outlier_channels(network: Network, *, every: int = 32, factor: float = 16.0, undo: bool = False) -> None:
    """Divide some channels of the expert input by ``factor`` and multiply their weights by it.

    With a power of two nothing changes in float32 or bfloat16, but one weight in each group of ``every``
    along the input now sets the scale of its neighbours, as in large models (Dettmers et al., arXiv
    2208.07339). The router's weights follow. Done once, after training; where it is (or with ``undo``,
    is not) done already, nothing happens.
    """
    for layer in network.layers():
        router = layer.mlp.router.weight.abs()
        done = bool(router[:, ::every].mean() > router.mean() * factor / 8)
        if done != undo:
            continue
        scale = 1 / factor if undo else factor
        layer.post_attention_layernorm.weight[::every] /= scale
        layer.mlp.router.weight[:, ::every] *= scale
        layer.mlp.experts.gate_up_proj[:, ::every] *= scale
