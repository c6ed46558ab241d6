"""The tiny model written as an ordinary Hugging Face checkpoint, for transformers and real vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pytest_gptoss.model.gptoss import END_OF_TEXT, NAMED_TOKENS, RETURN, START_OF_TEXT, STOP_IDS
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference import checkpoint, tokenizer

__all__ = ["export", "write_beside"]

_RANKS = "o200k_base.tiktoken"


def export(directory: Path, model: str | Path = checkpoint.TINY) -> None:
    """Write config, weights (bfloat16, whole vocabulary, about 104 MB), tokenizer and generation config.

    ``model`` is "tiny" or a folder in the same compact form. The vocabulary's licence is copied with it.

    Raises:
        ReferenceServerError: ``model`` is no compact checkpoint.
        OSError: the folder cannot be written.
    """
    source = checkpoint.resolve(model)
    tensors = checkpoint.full_tensors(source)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    write_beside(directory, json.loads((source / "config.json").read_text(encoding="utf-8")))


def write_beside(directory: Path, config: dict[str, Any]) -> None:
    """Write what stands beside the weights of a model of this config, in its form of transformers 5.

    Raises OSError.
    """
    _write(directory / "config.json", _in_both_spellings(config))
    _write(directory / "generation_config.json", _generation_config())
    _write_tokenizer(directory, max_length=config["max_position_embeddings"])


def _in_both_spellings(config: dict[str, Any]) -> dict[str, Any]:
    """The config with what older readers look for: ``rope_theta``, ``rope_scaling``, ``torch_dtype``."""
    scaling = dict(config["rope_parameters"])
    theta = scaling.pop("rope_theta")
    return {**config, "rope_theta": theta, "rope_scaling": scaling, "torch_dtype": config["dtype"]}


def _generation_config() -> dict[str, Any]:
    return {
        "bos_token_id": START_OF_TEXT,
        "do_sample": True,
        "eos_token_id": list(STOP_IDS),
        "pad_token_id": END_OF_TEXT,
    }


def _write_tokenizer(directory: Path, *, max_length: int) -> None:
    tokenizer.build(tokenizer.read_ranks(fixture("tiny-gpt-oss", _RANKS))).save(
        str(directory / "tokenizer.json")
    )
    _write(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": NAMED_TOKENS[START_OF_TEXT],
            "eos_token": NAMED_TOKENS[RETURN],
            "pad_token": NAMED_TOKENS[END_OF_TEXT],
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": max_length,
            "clean_up_tokenization_spaces": False,
            "chat_template": tokenizer.CHAT_TEMPLATE,
        },
    )
    licence = fixture("tiny-gpt-oss", "LICENSE.o200k_base")
    (directory / licence.name).write_bytes(licence.read_bytes())


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
