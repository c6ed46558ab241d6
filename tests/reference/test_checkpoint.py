from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from plain_transformers import plain_logits, some_ids, tiny
from safetensors.torch import save_file
from torch import Tensor

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference import checkpoint
from pytest_gptoss.reference.forward import Forward, Piece

TINY_CONFIG = json.loads(fixture("tiny-gpt-oss", "config.json").read_text(encoding="utf-8"))
GB_20B_FLOAT32 = 83.7
EXPERTS_20B, WIDTH_20B = 32, 2880
FP4 = (0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6)


@pytest.fixture
def folder(tmp_path):
    """A compact checkpoint of one's own to spoil."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(fixture("tiny-gpt-oss", name), tmp_path)
    return tmp_path


# -- the tiny one -------------------------------------------------------------------------------


def test_tiny_is_the_real_architecture_with_the_real_vocabulary():
    loaded = tiny()
    config = loaded.model.config
    assert type(loaded.model).__name__ == "GptOssForCausalLM"
    assert loaded.vocabulary.size == 201_088
    assert loaded.max_position == 131_072
    assert config.layer_types == ["sliding_attention", "full_attention"] * 2
    assert config.rope_parameters["rope_type"] == "yarn"
    assert (config.num_attention_heads, config.num_key_value_heads, config.num_experts_per_tok) == (6, 3, 2)
    assert int(loaded.vocabulary.copies.sum()) == 201_088


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_have_the_dtype_asked_for(dtype):
    loaded = tiny(dtype)
    forward = Forward(loaded)
    with torch.inference_mode():
        (states,) = forward.hidden([Piece(forward.new_cache(), some_ids(5))])
    assert states.dtype == getattr(torch, dtype)


def test_a_folder_in_the_same_form_is_loaded_as_tiny_is(folder):
    forward = Forward(checkpoint.load(folder, "float32"))
    ids = some_ids(20)
    with torch.inference_mode():
        logits = forward.logits(forward.hidden([Piece(forward.new_cache(), ids)])[0], torch.arange(20))
    assert torch.allclose(logits, plain_logits(ids), atol=1e-4)


# -- what cannot be loaded ------------------------------------------------------------------------


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(ReferenceServerError, match=r"holds no config\.json"):
        checkpoint.load(tmp_path, "float32")


def test_another_architecture_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({**TINY_CONFIG, "model_type": "llama"}))
    with pytest.raises(ReferenceServerError, match=r"'llama'.*'gpt_oss'"):
        checkpoint.load(folder, "float32")


def test_a_config_that_is_no_json_is_named(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ReferenceServerError, match=r"config\.json is no JSON"):
        checkpoint.load(folder, "float32")


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ReferenceServerError, match=r"model\.safetensors is missing"):
        checkpoint.load(folder, "float32")


def test_a_missing_shard_is_named(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ReferenceServerError, match=r"model-2\.safetensors is missing"):
        checkpoint.load(folder, "float32")


def test_a_cut_file_is_named(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ReferenceServerError, match="not readable as safetensors"):
        checkpoint.load(folder, "float32")


# -- memory -----------------------------------------------------------------------------------


def header_only(file: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """A safetensors file with a true header whose data is one hole that takes no disk."""
    header, offset = {}, 0
    for name, (dtype, shape) in tensors.items():
        end = offset + math.prod(shape) * {"BF16": 2, "U8": 1}[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + offset)


def published_20b() -> dict[str, tuple[str, list[int]]]:
    """Names and shapes of the 20B checkpoint as it is published: experts in MXFP4, the rest bfloat16."""
    width, experts = WIDTH_20B, EXPERTS_20B
    tensors = {
        "model.embed_tokens.weight": ("BF16", [201_088, width]),
        "lm_head.weight": ("BF16", [201_088, width]),
        "model.norm.weight": ("BF16", [width]),
    }
    layer = {
        "input_layernorm.weight": ("BF16", [width]),
        "post_attention_layernorm.weight": ("BF16", [width]),
        "self_attn.q_proj.weight": ("BF16", [4096, width]),
        "self_attn.q_proj.bias": ("BF16", [4096]),
        "self_attn.k_proj.weight": ("BF16", [512, width]),
        "self_attn.k_proj.bias": ("BF16", [512]),
        "self_attn.v_proj.weight": ("BF16", [512, width]),
        "self_attn.v_proj.bias": ("BF16", [512]),
        "self_attn.o_proj.weight": ("BF16", [width, 4096]),
        "self_attn.o_proj.bias": ("BF16", [width]),
        "self_attn.sinks": ("BF16", [64]),
        "mlp.router.weight": ("BF16", [experts, width]),
        "mlp.router.bias": ("BF16", [experts]),
        "mlp.experts.gate_up_proj_blocks": ("U8", [experts, 2 * width, width // 32, 16]),
        "mlp.experts.gate_up_proj_scales": ("U8", [experts, 2 * width, width // 32]),
        "mlp.experts.gate_up_proj_bias": ("BF16", [experts, 2 * width]),
        "mlp.experts.down_proj_blocks": ("U8", [experts, width, width // 32, 16]),
        "mlp.experts.down_proj_scales": ("U8", [experts, width, width // 32]),
        "mlp.experts.down_proj_bias": ("BF16", [experts, width]),
    }
    for number in range(24):
        tensors |= {f"model.layers.{number}.{name}": entry for name, entry in layer.items()}
    return tensors


def test_the_20b_model_is_refused_with_the_figures_before_anything_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({**TINY_CONFIG, "quantization_config": {}}))
    header_only(tmp_path / "model.safetensors", published_20b())
    monkeypatch.setattr(checkpoint, "available_bytes", lambda: 64 * 10**9)
    with pytest.raises(
        ReferenceServerError, match=rf"{GB_20B_FLOAT32} GB .* 64\.0 GB are available.*bfloat16"
    ):
        checkpoint.load(tmp_path, "float32")
    size = checkpoint.parameter_bytes([tmp_path / "model.safetensors"], torch.bfloat16)
    assert size == pytest.approx(GB_20B_FLOAT32 / 2 * 1e9, rel=0.001)


def test_what_fits_and_what_is_unknown_passes():
    checkpoint.check_memory(10, 10, "model")
    checkpoint.check_memory(10, None, "model")
    with pytest.raises(ReferenceServerError):
        checkpoint.check_memory(11, 10, "model")


# -- MXFP4 --------------------------------------------------------------------------------------


def mxfp4(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Blocks and scales of random weights [experts, outputs, inputs], and the weights by definition.

    Two 4-bit floats a byte, the lower half first; a group of 32 shares a power of two, biased by 127
    (OCP Microscaling Formats specification 1.0).
    """
    generator = torch.Generator().manual_seed(seed)
    groups = (*shape[:-1], shape[-1] // 32)
    codes = torch.randint(16, (*groups, 32), generator=generator)
    scales = torch.randint(120, 125, groups, generator=generator)
    blocks = (codes[..., 0::2] + 16 * codes[..., 1::2]).to(torch.uint8)
    weights = torch.tensor(FP4)[codes] * torch.exp2(scales - 127.0).unsqueeze(-1)
    return blocks, scales.to(torch.uint8), weights.flatten(-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_mxfp4_checkpoint_is_dequantised_while_loading(tmp_path, dtype):
    config = {
        **TINY_CONFIG,
        "num_hidden_layers": 1,
        "layer_types": ["sliding_attention"],
        "vocab_size": 300,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = tiny().model.state_dict()
    tensors = {
        name: tensor.to(torch.bfloat16).clone()
        for name, tensor in source.items()
        if not name.startswith(("model.layers.1", "model.layers.2", "model.layers.3"))
        and not name.endswith(("gate_up_proj", "down_proj"))
    }
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        tensors[name] = tensors[name][:300].clone()
    experts = "model.layers.0.mlp.experts."
    expected = {}
    for seed, (name, shape) in enumerate({"gate_up_proj": (4, 128, 128), "down_proj": (4, 128, 64)}.items()):
        blocks, scales, expected[name] = mxfp4(shape, seed)
        tensors[experts + name + "_blocks"], tensors[experts + name + "_scales"] = blocks, scales
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})

    loaded = checkpoint.load(tmp_path, dtype)

    found = loaded.model.model.layers[0].mlp.experts
    for name, weights in expected.items():
        assert torch.equal(getattr(found, name).float(), weights.mT)
    files = [tmp_path / "model.safetensors"]
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    assert checkpoint.parameter_bytes(files, torch.float32) == 4 * parameters
    forward = Forward(loaded)
    with torch.inference_mode():
        (states,) = forward.hidden([Piece(forward.new_cache(), [5, 6, 7])])
    assert states.isfinite().all()
