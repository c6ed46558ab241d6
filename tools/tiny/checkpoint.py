"""Checkpoints on disk: the compact file that ships, and the state of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tiny.network import Network

__all__ = ["USED_IDS", "averaged", "load_compact", "save_compact", "warm_start"]

USED_IDS = "used_ids"
_TABLES = ("model.embed_tokens.weight", "lm_head.weight")


def save_compact(network: Network, used: tuple[int, ...], file: Path) -> None:
    """Write bfloat16 weights with ``used_ids`` int32 [rows - 1]; the last row is the shared one."""
    tensors = {
        name: tensor.detach().to(torch.bfloat16).cpu() for name, tensor in network.state_dict().items()
    }
    tensors[USED_IDS] = torch.tensor(used, dtype=torch.int32)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


def load_compact(file: Path) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """The float32 tensors of a compact checkpoint by transformers' names, and its ids."""
    tensors = load_file(file)
    used = tuple(tensors.pop(USED_IDS).tolist())
    return {name: tensor.float() for name, tensor in tensors.items()}, used


def averaged(files: Sequence[Path]) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """The mean weights of compact checkpoints of one vocabulary (Izmailov et al., arXiv 1803.05407)."""
    loaded = [load_compact(file) for file in files]
    (_, used), *others = loaded
    if any(known != used for _, known in others):
        raise SystemExit("checkpoints of different vocabularies have no mean: name runs of one domain")
    names = loaded[0][0]
    return {name: torch.stack([tensors[name] for tensors, _ in loaded]).mean(0) for name in names}, used


@torch.no_grad()
def warm_start(network: Network, used: tuple[int, ...], file: Path) -> int:
    """Take the weights of an earlier compact checkpoint; returns how many of its rows were of use.

    Its shape may have fewer heads: those it lacks start silent. Rows of ids it did not know start random,
    at the size of its other rows.
    """
    tensors, known = load_compact(file)
    row_of = {token: row for row, token in enumerate(known)}
    ours = [row for row, token in enumerate(used) if token in row_of]
    theirs = [row_of[used[row]] for row in ours]
    for name in _TABLES:
        old = tensors[name]
        new = torch.randn(len(used) + 1, old.shape[1]) * old.std()
        new[ours], new[-1] = old[theirs], old[-1]
        tensors[name] = new
    for name, tensor in network.state_dict().items():
        tensors[name] = _grown(tensors[name], tensor, silent=name.endswith("o_proj.weight"))
    network.load_state_dict(tensors)
    return len(ours)


def _grown(old: Tensor, new: Tensor, *, silent: bool) -> Tensor:
    """``old`` in the low corner of a tensor like ``new``; what is left over is zero if it must be silent."""
    grown = torch.zeros_like(new) if silent else new.clone()
    grown[tuple(slice(size) for size in old.shape)] = old
    return grown
