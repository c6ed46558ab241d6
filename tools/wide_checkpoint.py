"""A checkpoint as wide as GPT-OSS-20B and otherwise small: random weights, made when wanted, never stored.

    python tools/wide_checkpoint.py DIR                 # 2.4 GB: hidden 2,880, vocabulary 201,088, two layers

It is in Hugging Face's form, BF16, for transformers and vLLM. It answers nothing sensible: it is for
measuring what depends on the width, which is recovering hidden states from log-probabilities. Its logits have
a standard deviation of 2.5, the final norm's weights lie between 0.5 and 2. The same seed makes the same
weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference.export import write_beside

__all__ = ["HIDDEN", "make"]

HIDDEN = 2880
_LOGIT_DEVIATION = 2.5
_WEIGHT_DEVIATION = 0.02
_SMALLEST_NORM, _LARGEST_NORM = 0.5, 2.0


def make(directory: Path, *, hidden: int = HIDDEN, seed: int = 0) -> None:
    """Write the checkpoint. Raises OSError."""
    config = _config(hidden)
    directory.mkdir(parents=True, exist_ok=True)
    chance = torch.Generator().manual_seed(seed)
    tensors = dict(_tensors(config, chance))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    write_beside(directory, config)


def _config(hidden: int) -> dict[str, Any]:
    """The tiny checkpoint's, wider: with GPT-OSS's own size of a head, and two layers."""
    tiny = json.loads(fixture("tiny-gpt-oss", "config.json").read_text(encoding="utf-8"))
    wide = {
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "layer_types": tiny["layer_types"][:2],
        "head_dim": 64,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    }
    return {**tiny, **wide}


def _tensors(config: dict[str, Any], chance: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, as ``GptOssForCausalLM`` has them."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", _normal(chance, vocabulary, hidden, deviation=1.0)
    for layer in range(config["num_hidden_layers"]):
        for name, tensor in _layer(config, chance):
            yield f"model.layers.{layer}.{name}", tensor
    norm = _SMALLEST_NORM + (_LARGEST_NORM - _SMALLEST_NORM) * torch.rand(hidden, generator=chance)
    yield "model.norm.weight", norm.bfloat16()
    deviation = _LOGIT_DEVIATION / float(norm.norm())  # a state is as long as the norm's weights
    yield "lm_head.weight", _normal(chance, vocabulary, hidden, deviation=deviation)


def _layer(config: dict[str, Any], chance: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    hidden, experts, inner = (
        config[each] for each in ("hidden_size", "num_local_experts", "intermediate_size")
    )
    heads, width = config["num_attention_heads"], config["head_dim"]
    queries, keys = heads * width, config["num_key_value_heads"] * width
    shapes = {
        **_linear("self_attn.q_proj", hidden, queries),
        **_linear("self_attn.k_proj", hidden, keys),
        **_linear("self_attn.v_proj", hidden, keys),
        **_linear("self_attn.o_proj", queries, hidden),
        "self_attn.sinks": (heads,),
        **_linear("mlp.router", hidden, experts),
        "mlp.experts.gate_up_proj": (experts, hidden, 2 * inner),
        "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        "mlp.experts.down_proj": (experts, inner, hidden),
        "mlp.experts.down_proj_bias": (experts, hidden),
    }
    for name, shape in shapes.items():
        yield name, _normal(chance, *shape, deviation=_WEIGHT_DEVIATION)
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield f"{name}.weight", torch.ones(hidden, dtype=torch.bfloat16)


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _normal(chance: torch.Generator, *shape: int, deviation: float) -> Tensor:
    tensor = torch.empty(shape, dtype=torch.bfloat16)
    return tensor.normal_(0.0, deviation, generator=chance)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--hidden", type=int, default=HIDDEN, help=f"size of a state (default {HIDDEN})")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make(options.directory, hidden=options.hidden, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
