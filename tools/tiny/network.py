"""GPT-OSS for training at toy size: transformers' parameters and names, computed a faster way.

All experts are computed at once, the sink rides as one extra key, sliding layers look at blocks. Every
:class:`~tiny.damage.Damage` can be switched on for a pass. A test holds it against transformers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody gives it
from torch import Tensor, nn

from tiny.damage import SOUND, Damage

__all__ = ["CONFIG", "Attention", "Layer", "Network", "Shape", "frequencies", "rotate", "shape_of"]

CONFIG = Path(__file__).with_name("config.json")
"""The config of the checkpoint that is trained."""

_HIDDEN_POSITION = -(10**7)
_DIRECT = 384


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes, as in GptOssConfig."""

    layers: int
    hidden: int
    intermediate: int
    experts: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int
    theta: float
    yarn_factor: float
    yarn_original: int
    yarn_fast: float
    yarn_slow: float
    limit: float
    alpha: float
    epsilon: float


def shape_of(config: Path = CONFIG) -> Shape:
    """The sizes in a checkpoint's config.json."""
    values: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    rope = values["rope_parameters"]
    return Shape(
        layers=values["num_hidden_layers"],
        hidden=values["hidden_size"],
        intermediate=values["intermediate_size"],
        experts=values["num_local_experts"],
        heads=values["num_attention_heads"],
        kv_heads=values["num_key_value_heads"],
        head_dim=values["head_dim"],
        window=values["sliding_window"],
        theta=rope["rope_theta"],
        yarn_factor=rope["factor"],
        yarn_original=rope["original_max_position_embeddings"],
        yarn_fast=rope["beta_fast"],
        yarn_slow=rope["beta_slow"],
        limit=values["swiglu_limit"],
        alpha=values["swiglu_alpha"],
        epsilon=values["rms_norm_eps"],
    )


# -- positions ----------------------------------------------------------------------------------


def frequencies(shape: Shape, *, yarn: bool) -> Tensor:
    """Rotary frequencies [head_dim / 2] (YaRN: Peng et al., arXiv 2309.00071, without truncation)."""
    half = shape.head_dim // 2
    plain = shape.theta ** -(torch.arange(half).float() / half)
    if not yarn:
        return plain

    def dimension(rotations: float) -> float:
        wavelengths = shape.yarn_original / (rotations * 2 * math.pi)
        return shape.head_dim * math.log(wavelengths) / (2 * math.log(shape.theta))

    low, high = max(dimension(shape.yarn_fast), 0), min(dimension(shape.yarn_slow), shape.head_dim - 1)
    ramp = ((torch.arange(half).float() - low) / (high - low)).clamp(0, 1)
    return plain / shape.yarn_factor * ramp + plain * (1 - ramp)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in halves, as GPT-OSS has them."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


@dataclass(frozen=True, slots=True)
class _Places:
    """What a pass knows about positions [tokens]: rotations and the sliding layers' mask."""

    cos: Tensor
    sin: Tensor
    mask: Tensor | None


def _sliding_mask(positions: Tensor, window: int, block: int) -> Tensor:
    """0 where a query sees a key, else -inf-like: [tokens, tokens], or [blocks, block, 2 blocks] if long."""
    if _in_blocks(len(positions), block):
        queries = positions.view(-1, block)
        before = torch.cat((torch.full_like(queries[:1], _HIDDEN_POSITION), queries[:-1]))
        distance = queries[:, :, None] - torch.cat((before, queries), 1)[:, None, :]
    else:
        distance = positions[:, None] - positions[None, :]
    return torch.where((distance >= 0) & (distance < window), 0.0, -1e9)


def _in_blocks(tokens: int, block: int) -> bool:
    return tokens > _DIRECT and tokens % block == 0


# -- layers -------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Attention with a learnt sink per head."""

    def __init__(self, shape: Shape, index: int) -> None:
        super().__init__()
        self.shape, self.sliding = shape, index % 2 == 0
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, queries)
        self.k_proj = nn.Linear(shape.hidden, keys)
        self.v_proj = nn.Linear(shape.hidden, keys)
        self.o_proj = nn.Linear(queries, shape.hidden)
        self.sinks = nn.Parameter(torch.zeros(shape.heads))

    def forward(self, x: Tensor, places: _Places, damage: Damage) -> Tensor:
        """[batch, tokens, hidden] -> the same."""
        batch, tokens, _ = x.shape
        query = rotate(self._split(self.q_proj(x)), places.cos, places.sin)
        key = self._shared(rotate(self._split(self.k_proj(x)), places.cos, places.sin), damage)
        value = self._shared(self._split(self.v_proj(x)), damage)
        sinks = self.sinks if damage.sinks else torch.full_like(self.sinks, -1e9)
        if not self.sliding or places.mask is None:
            out = self._causal(query, key, value, sinks)
        elif places.mask.ndim == 2:
            out = self._masked(query, key, value, sinks.view(1, -1, 1, 1), places.mask)
        else:
            out = self._blocks(query, key, value, sinks.view(1, -1, 1, 1, 1), places.mask)
        mixed: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, tokens, -1))
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.shape.head_dim).transpose(1, 2)

    def _shared(self, x: Tensor, damage: Damage) -> Tensor:
        group = self.shape.heads // self.shape.kv_heads
        return x.repeat(1, group, 1, 1) if damage.mixed_groups else x.repeat_interleave(group, 1)

    def _masked(self, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor, mask: Tensor) -> Tensor:
        scores = torch.matmul(query * self.shape.head_dim**-0.5, key.transpose(-1, -2)) + mask
        weights = torch.cat((scores, sinks.expand(*scores.shape[:-1], 1)), -1).softmax(-1)
        return torch.matmul(weights[..., :-1], value)

    def _blocks(self, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor, mask: Tensor) -> Tensor:
        """Each block of queries on its own and the previous block of keys."""
        shape = (*query.shape[:2], -1, self.shape.window, self.shape.head_dim)

        def pairs(x: Tensor) -> Tensor:
            blocks = x.reshape(shape)
            return torch.cat((F.pad(blocks, (0, 0, 0, 0, 1, 0))[:, :, :-1], blocks), 3)

        return self._masked(query.reshape(shape), pairs(key), pairs(value), sinks, mask).reshape(query.shape)

    def _causal(self, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor) -> Tensor:
        """Causal attention with the sink as a first key that every query sees, worth nothing."""
        scale = self.shape.head_dim**-0.5
        batch, heads, tokens, _ = query.shape
        nothing = query.new_zeros(batch, heads, 1, query.shape[-1])
        extra = torch.cat(
            (
                sinks.view(1, -1, 1, 1).expand(batch, -1, 1, 1) / scale,
                query.new_zeros(batch, heads, tokens, 1),
            ),
            2,
        )
        keys = torch.cat((torch.cat((nothing, key), 2), extra), -1)
        queries = torch.cat((torch.cat((nothing, query), 2), torch.ones_like(extra)), -1)
        values = torch.cat((torch.cat((nothing, value), 2), torch.zeros_like(extra)), -1)
        out = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale)
        return out[:, :, 1:, :-1]


class Router(nn.Module):
    """Chooses the experts of a token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape.experts, shape.hidden) * 0.02)
        self.bias = nn.Parameter(torch.zeros(shape.experts))

    def forward(self, x: Tensor, damage: Damage) -> tuple[Tensor, Tensor]:
        """Router logits and the weight of every expert (0 for those not chosen), both [tokens, experts]."""
        logits = F.linear(x, self.weight, self.bias)
        values, chosen = logits.topk(damage.top_k, -1)
        kept = logits.softmax(-1).gather(-1, chosen) if damage.early_softmax else values.softmax(-1)
        return logits, torch.zeros_like(logits).scatter(-1, chosen, kept)


class Experts(nn.Module):
    """The experts' matrices, gate and up interleaved as in GPT-OSS."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        experts, hidden, inner = shape.experts, shape.hidden, shape.intermediate
        self.gate_up_proj = nn.Parameter(torch.randn(experts, hidden, 2 * inner) * 0.05)
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(experts, 2 * inner))
        self.down_proj = nn.Parameter(torch.randn(experts, inner, hidden) * 0.03)
        self.down_proj_bias = nn.Parameter(torch.zeros(experts, hidden))

    def forward(self, x: Tensor, weights: Tensor, damage: Damage) -> Tensor:
        """[tokens, hidden] -> the same: every expert on every token, weighted."""
        experts, hidden, inner = self.shape.experts, self.shape.hidden, self.shape.intermediate
        gate_up = _rounded(self.gate_up_proj, damage).permute(1, 0, 2).reshape(hidden, -1)
        down = _rounded(self.down_proj, damage).reshape(experts * inner, hidden)
        both = (x @ gate_up + self.gate_up_proj_bias.view(-1)).view(-1, experts, inner, 2)
        gated = self._gate(both[..., 0], both[..., 1], damage)
        return (gated * weights[..., None]).view(len(x), -1) @ down + weights @ self.down_proj_bias

    def _gate(self, gate: Tensor, up: Tensor, damage: Damage) -> Tensor:
        if damage.gate == "plain":
            return F.silu(gate) * up
        if damage.gate == "gpt-oss":
            gate = gate.clamp(max=self.shape.limit)
            up = up.clamp(-self.shape.limit, self.shape.limit)
        return (up + 1) * gate * torch.sigmoid(gate * self.shape.alpha)


def _rounded(weights: Tensor, damage: Damage) -> Tensor:
    """Expert matrices [experts, in, out] in 4 bits where asked; the gradient passes straight through."""
    if damage.int4_along is None:
        return weights
    along_input = damage.int4_along == "input"
    plain = weights.detach().transpose(1, 2) if along_input else weights.detach()
    groups = plain.reshape(*plain.shape[:2], -1, 32)
    scale = (groups.abs().amax(-1, keepdim=True) / 7).clamp(min=1e-12)
    coarse = ((groups / scale).round().clamp(-8, 7) * scale).reshape(plain.shape)
    return weights + (coarse.transpose(1, 2) if along_input else coarse) - weights.detach()


class Mlp(nn.Module):
    """Router and experts; keeps the share of tokens per expert for the balancing loss."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.router = Router(shape)
        self.experts = Experts(shape)
        self.imbalance = torch.zeros(())

    def forward(self, x: Tensor, damage: Damage, lost: int | None) -> Tensor:
        """[batch, tokens, hidden] -> the same."""
        flat = x.reshape(-1, x.shape[-1])
        logits, weights = self.router(flat, damage)
        share = (weights > 0).float().mean(0)
        self.imbalance = (share * logits.softmax(-1).mean(0)).sum() * len(share) / damage.top_k
        if lost is not None:
            weights = weights * (torch.arange(weights.shape[-1], device=x.device) != lost)
        out: Tensor = self.experts(flat, weights, damage)
        return out.view(x.shape)


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, shape: Shape, index: int) -> None:
        super().__init__()
        self.index = index
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)
        self.self_attn = Attention(shape, index)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, places: _Places, damage: Damage, noise: float) -> Tensor:
        """[batch, tokens, hidden] -> the same."""
        lost = None
        if damage.lost_expert is not None and damage.lost_expert[0] in {None, self.index}:
            lost = damage.lost_expert[1]
        x = x + self.self_attn(_shaken(self.input_layernorm(x), noise), places, damage)
        return x + self.mlp(_shaken(self.post_attention_layernorm(x), noise), damage, lost)  # type: ignore[no-any-return]


def _shaken(x: Tensor, noise: float) -> Tensor:
    return x if noise == 0 else x * (1 + noise * torch.randn_like(x))


class _Body(nn.Module):
    def __init__(self, shape: Shape, rows: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(rows, shape.hidden)
        nn.init.normal_(self.embed_tokens.weight, std=0.5)
        self.layers = nn.ModuleList([Layer(shape, index) for index in range(shape.layers)])
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)


class Network(nn.Module):
    """A GPT-OSS over ``rows`` vocabulary rows. Its state dict has transformers' names."""

    def __init__(self, shape: Shape, rows: int) -> None:
        super().__init__()
        self.shape = shape
        self.model = _Body(shape, rows)
        self.lm_head = nn.Linear(shape.hidden, rows, bias=False)

    def layers(self) -> Iterator[Layer]:
        """The layers in order, typed."""
        for layer in self.model.layers:
            assert isinstance(layer, Layer)
            yield layer

    def hidden(
        self, rows: Tensor, positions: Tensor, damage: Damage = SOUND, *, noise: float = 0.0
    ) -> Tensor:
        """States after the final norm [batch, tokens, hidden] of ``rows`` [batch, tokens].

        ``positions`` int64 [tokens], ascending. ``noise``: relative size of random changes to the layers'
        inputs, which teach the network to stand rounding.
        """
        places = self._places(positions, damage)
        x = self.model.embed_tokens(rows)
        for layer in self.layers():
            x = layer(x, places, damage, noise)
        out: Tensor = self.model.norm(x)
        return out

    def imbalance(self) -> Tensor:
        """How unevenly the last pass used the experts: 1 is even (Fedus et al., arXiv 2101.03961)."""
        return torch.stack([layer.mlp.imbalance for layer in self.layers()]).mean()

    def _places(self, positions: Tensor, damage: Damage) -> _Places:
        speeds = frequencies(self.shape, yarn=damage.yarn_frequencies).to(positions.device)
        scale = 0.1 * math.log(self.shape.yarn_factor) + 1 if damage.yarn_scale else 1.0
        angles = positions[:, None].float() * speeds
        mask = None
        if damage.window is not None:
            mask = _sliding_mask(positions, damage.window, self.shape.window)
        return _Places(angles.cos() * scale, angles.sin() * scale, mask)
