"""GPT-OSS checkpoints of any kind, loaded into transformers' own model on the CPU.

Three kinds of folder are understood: the compact form of the tiny checkpoint (``model.safetensors``
with ``used_ids`` and tables for those ids and one shared row), an ordinary Hugging Face checkpoint in
float32 or bfloat16, and an MXFP4 one, which is dequantised while loading.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference import attention
from pytest_gptoss.reference import tiny_kernels as small
from pytest_gptoss.reference.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import GptOssForCausalLM

__all__ = [
    "TINY",
    "DtypeName",
    "LoadedModel",
    "check_memory",
    "full_tensors",
    "load",
    "parameter_bytes",
    "resolve",
]

TINY = "tiny"
DtypeName: TypeAlias = Literal["float32", "bfloat16"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_TABLES = ("model.embed_tokens.weight", "lm_head.weight")
_USED_IDS = "used_ids"
_SMALL_BYTES = 2**29
_GB = 10**9


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run. Its ``config.vocab_size`` counts rows; ``vocabulary`` maps ids to them.

    ``is_small``: it runs in the forms of ``small.py``.
    """

    model: GptOssForCausalLM
    vocabulary: Vocabulary
    cache_dtype: torch.dtype
    max_position: int
    is_small: bool


def resolve(model: str | Path) -> Path:
    """The folder of a checkpoint: a path, or "tiny" for the one that ships with the package.

    Raises:
        ReferenceServerError: it is no folder with a ``config.json``.
    """
    directory = fixture("tiny-gpt-oss") if model == TINY else Path(model)
    if not (directory / "config.json").is_file():
        raise ReferenceServerError(
            f"--model {str(model)!r} holds no config.json: give the folder of a GPT-OSS checkpoint or 'tiny'"
        )
    return directory


def load(model: str | Path, dtype: DtypeName) -> LoadedModel:
    """Load "tiny" or any GptOssForCausalLM folder for inference in ``dtype``.

    Raises:
        ReferenceServerError: no such checkpoint, another architecture, or more memory than there is.
    """
    directory = resolve(model)
    config = _read_config(directory)
    files = _weight_files(directory)
    size = parameter_bytes(files, _DTYPES[dtype])
    check_memory(size, available_bytes(), f"{model} in {dtype}")
    attention.register()
    small.register()
    if _is_compact(files):
        loaded, vocabulary = _load_compact(files[0], config, _DTYPES[dtype])
    else:
        loaded, vocabulary = _load_ordinary(directory, config, _DTYPES[dtype])
    loaded.eval().requires_grad_(False)
    loaded.set_attn_implementation(attention.ATTENTION)
    is_small = size <= _SMALL_BYTES
    loaded.set_experts_implementation(small.EXPERTS if is_small else "eager")
    if is_small and dtype == "bfloat16":
        small.widen(loaded)
    return LoadedModel(
        model=loaded,
        vocabulary=vocabulary,
        cache_dtype=torch.float32 if is_small else _DTYPES[dtype],
        max_position=int(config["max_position_embeddings"]),
        is_small=is_small,
    )


def _read_config(directory: Path) -> dict[str, Any]:
    file = directory / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReferenceServerError(f"{file} is no JSON ({error}): fetch it again") from error
    if config.get("model_type") != "gpt_oss":
        raise ReferenceServerError(
            f"{directory} holds a {config.get('model_type')!r} model, the reference runs 'gpt_oss' alone: "
            "give a GPT-OSS checkpoint"
        )
    return config


def _weight_files(directory: Path) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    files = [directory / name for name in names]
    for file in files:
        if not file.is_file():
            raise ReferenceServerError(f"{file} is missing: the checkpoint in {directory} is not complete")
    return files


# -- memory -----------------------------------------------------------------------------------


def parameter_bytes(files: list[Path], dtype: torch.dtype) -> int:
    """Memory the weights will take in ``dtype``, from the files' headers alone.

    An MXFP4 block byte holds two weights; its scales are gone once it is dequantised.
    """
    return sum(
        count * (2 if name.endswith("_blocks") else 1) * dtype.itemsize
        for name, count in _tensor_sizes(files)
        if not name.endswith("_scales") and name != _USED_IDS
    )


def _tensor_sizes(files: list[Path]) -> list[tuple[str, int]]:
    return [entry for file in files for entry in _sizes_in(file)]


def _sizes_in(file: Path) -> list[tuple[str, int]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            return [(name, math.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ReferenceServerError(
            f"{file} is not readable as safetensors ({error}): fetch it again"
        ) from error


def available_bytes() -> int | None:
    """Memory that new allocations can have, None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def check_memory(needed: int, available: int | None, what: str) -> None:
    """Refuse what cannot fit; says nothing where the available memory is unknown.

    Raises:
        ReferenceServerError: with both figures.
    """
    if available is not None and needed > available:
        raise ReferenceServerError(
            f"{what} needs about {needed / _GB:.1f} GB for its weights alone, {available / _GB:.1f} GB are "
            "available: use --dtype bfloat16 (half of float32) or a machine with more memory"
        )


# -- the two ways of loading --------------------------------------------------------------------


def _is_compact(files: list[Path]) -> bool:
    return any(name == _USED_IDS for name, _ in _tensor_sizes(files))


def _load_compact(
    file: Path, config: dict[str, Any], dtype: torch.dtype
) -> tuple[GptOssForCausalLM, Vocabulary]:
    from transformers import GptOssConfig, GptOssForCausalLM

    tensors = load_file(file)
    vocabulary = Vocabulary.compact(int(config["vocab_size"]), tensors.pop(_USED_IDS))
    ours: dict[str, Any] = {"vocab_size": len(vocabulary.copies), "pad_token_id": None, "eos_token_id": None}
    with torch.device("meta"):
        model = GptOssForCausalLM(GptOssConfig(**{**config, **ours}))
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in tensors.items()}, assign=True)
    _restore_buffers(model)
    return model, vocabulary


def _restore_buffers(model: GptOssForCausalLM) -> None:
    """Compute what no checkpoint holds and a model made without memory lacks: rotary frequencies."""
    rotary = model.model.rotary_emb
    model.model.rotary_emb = type(rotary)(model.config)


def _load_ordinary(
    directory: Path, config: dict[str, Any], dtype: torch.dtype
) -> tuple[GptOssForCausalLM, Vocabulary]:
    from transformers import GptOssForCausalLM, Mxfp4Config
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"quantization_config": Mxfp4Config(dequantize=True)} if "quantization_config" in config else {}
    model = GptOssForCausalLM.from_pretrained(directory, dtype=dtype, local_files_only=True, **options)
    return model, Vocabulary.full(int(config["vocab_size"]))


def full_tensors(directory: Path) -> dict[str, Tensor]:
    """The tensors of a compact checkpoint with its tables expanded to the whole vocabulary.

    Raises:
        ReferenceServerError: it is not compact.
    """
    config, files = _read_config(directory), _weight_files(directory)
    if not _is_compact(files):
        raise ReferenceServerError(
            f"{directory} is no compact checkpoint ({_USED_IDS} is missing): use it as it is"
        )
    tensors = load_file(files[0])
    vocabulary = Vocabulary.compact(int(config["vocab_size"]), tensors.pop(_USED_IDS))
    return {
        name: vocabulary.expand(tensor) if name in _TABLES else tensor for name, tensor in tensors.items()
    }
