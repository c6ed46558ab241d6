"""Faster forms of the same arithmetic for models small enough that calls, not products, cost time.

Two things are slow in a model of a few megabytes: the loop over experts, and bfloat16 products, which
cost a fixed overhead each and, on a CPU without bfloat16 instructions, up to a hundred times a float32
product. So all experts are computed at once, and bfloat16 operands are multiplied as float32 and
the result rounded to bfloat16. That is what bfloat16 hardware does: products of bfloat16 numbers are
exact in float32, sums are kept in float32, and the result is rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import GptOssForCausalLM

__all__ = ["EXPERTS", "WideLinear", "dense_experts", "register", "widen"]

EXPERTS = "pytest_gptoss_dense"


class WideLinear(nn.Linear):
    """A linear layer whose weights are kept in float32 and whose results have the input's dtype."""

    @classmethod
    def of(cls, linear: nn.Linear) -> WideLinear:
        """The same layer with its weights' values in float32."""
        wide = cls(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        wide.weight = _float32(linear.weight)
        if linear.bias is not None:
            wide.bias = _float32(linear.bias)
        return wide

    def forward(self, input: Tensor) -> Tensor:
        """The product in float32, rounded to the dtype of ``input``."""
        return super().forward(input.float()).to(input.dtype)


def _float32(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().float(), requires_grad=False)


def widen(model: GptOssForCausalLM) -> None:
    """Let a bfloat16 model multiply in float32: its projections, its head and its experts."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, WideLinear.of(child))
    for layer in model.model.layers:
        experts = layer.mlp.experts
        for name, parameter in list(experts.named_parameters(recurse=False)):
            setattr(experts, name, _float32(parameter))


def dense_experts(experts: Any, hidden: Tensor, router_indices: Tensor, routing_weights: Tensor) -> Tensor:
    """Every expert on every token, weighted by the router; the same sum as the loop over experts.

    ``hidden`` [tokens, hidden], ``router_indices`` and ``routing_weights`` [tokens, top k]. Matrices may
    be wider than ``hidden``; each product, bias included, is rounded to its dtype.
    """
    dtype = hidden.dtype
    weights = hidden.new_zeros(hidden.shape[0], experts.num_experts)
    weights.scatter_(1, router_indices, routing_weights)
    gate_up = _product(
        hidden.expand(experts.num_experts, -1, -1), experts.gate_up_proj, experts.gate_up_proj_bias
    )
    out = _product(experts._apply_gate(gate_up.to(dtype)), experts.down_proj, experts.down_proj_bias)
    mixed: Tensor = (out.to(dtype) * weights.t().unsqueeze(-1)).sum(dim=0)
    return mixed


def _product(states: Tensor, matrices: Tensor, biases: Tensor) -> Tensor:
    """``states`` [experts, tokens, in] by ``matrices`` [experts, in, out] plus ``biases`` [experts, out]."""
    return torch.baddbmm(biases.unsqueeze(1), states.to(matrices.dtype), matrices)


def register() -> None:
    """Make the dense experts known to transformers under :data:`EXPERTS`."""
    from transformers.integrations.moe import ExpertsInterface

    ExpertsInterface.register(EXPERTS, dense_experts)
