"""Damage that a checkpoint can carry: the tiny one spoilt, in the form that every server loads.

A damage to the program is written into the weights where that is possible. Plain swiglu is: gpt-oss computes
``(up + 1) * gate * sigmoid(1.702 * gate)``, so dividing the gate by 1.702, taking 1 off the bias of up and
multiplying the down projection by 1.702 leaves ``up * silu(gate)``, but for the clamp and the rounding.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["DAMAGES", "damaged_copy"]

Tensors: TypeAlias = dict[str, Tensor]

WEIGHTS = "model.safetensors"
SWIGLU_ALPHA = 1.702
GROUP = 32
SEED = 0


def damaged_copy(source: Path, directory: Path, damage: str) -> Path:
    """Copy a compact checkpoint with its weights spoilt; returns ``directory``. KeyError for no damage."""
    change = DAMAGES[damage]
    unneeded = shutil.ignore_patterns("*.tiktoken")
    shutil.copytree(source, directory, dirs_exist_ok=True, ignore=unneeded)
    tensors = load_file(directory / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / WEIGHTS)
    return directory


def _plain_swiglu(tensors: Tensors) -> None:
    for name in _named(tensors, "experts.gate_up_proj"):
        _scale(tensors, name, 1 / SWIGLU_ALPHA, every=slice(0, None, 2))
    for name in _named(tensors, "experts.gate_up_proj_bias"):
        _scale(tensors, name, 1 / SWIGLU_ALPHA, every=slice(0, None, 2))
        tensors[name][..., 1::2] -= 1
    for name in _named(tensors, "experts.down_proj"):
        _scale(tensors, name, SWIGLU_ALPHA, every=slice(None))


def _scale(tensors: Tensors, name: str, factor: float, *, every: slice) -> None:
    tensors[name][..., every] = (tensors[name][..., every].float() * factor).to(tensors[name].dtype)


def _no_sinks(tensors: Tensors) -> None:
    for name in _named(tensors, "self_attn.sinks"):
        tensors[name].fill_(-1e4)  # of no weight beside any score, and finite, as checkpoints are


def _zero_expert(tensors: Tensors) -> None:
    for name in _named(tensors, "experts.down_proj", "experts.down_proj_bias"):
        tensors[name][0] = 0


def _int4_experts(tensors: Tensors) -> None:
    for name in _named(tensors, "experts.gate_up_proj", "experts.down_proj"):
        tensors[name] = torch.stack([_rounded(each, bits=4) for each in tensors[name]])


def _weights_to(bits: int) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for name in _matrices(tensors):
            tensor = tensors[name]
            rows = tensor.reshape(-1, tensor.shape[-1])
            tensors[name] = _rounded(rows, bits=bits).reshape(tensor.shape)

    return change


def _rounded(matrix: Tensor, *, bits: int) -> Tensor:
    """``matrix`` [inputs, outputs] as signed integers, one scale for each group of inputs of an output."""
    levels = 2 ** (bits - 1) - 1
    padding = -len(matrix) % GROUP
    padded = torch.nn.functional.pad(matrix.float(), (0, 0, 0, padding))
    groups = padded.view(-1, GROUP, matrix.shape[-1])
    scale = groups.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / levels
    return torch.flatten((groups / scale).round() * scale, 0, 1)[: len(matrix)].to(matrix.dtype)


def _noise(share: float) -> Callable[[Tensors], None]:
    """Add normal noise of ``share`` times a matrix's own root mean square."""

    def change(tensors: Tensors) -> None:
        dice = torch.Generator().manual_seed(SEED)
        for name in _matrices(tensors):
            tensor = tensors[name].float()
            noise = torch.randn(tensor.shape, generator=dice)
            spoilt = tensor + share * tensor.square().mean().sqrt() * noise
            tensors[name] = spoilt.to(tensors[name].dtype)

    return change


def _named(tensors: Tensors, *endings: str) -> list[str]:
    return [name for name in tensors if name.endswith(endings)]


def _matrices(tensors: Tensors) -> Iterator[str]:
    """Names of what is multiplied with: no norms, biases, sinks or embeddings."""
    for name, tensor in tensors.items():
        if tensor.ndim >= 2 and "embed" not in name and not name.endswith("bias"):
            yield name


DAMAGES: Mapping[str, Callable[[Tensors], None]] = MappingProxyType(
    {
        "plain-swiglu": _plain_swiglu,
        "zero-expert": _zero_expert,
        "no-sinks": _no_sinks,
        "int4-experts": _int4_experts,
        **{f"weights-{bits}bit": _weights_to(bits) for bits in (8, 6, 5, 4)},
        **{f"noise-{share:g}": _noise(share) for share in (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)},
    }
)
"""Every damage by its name."""
