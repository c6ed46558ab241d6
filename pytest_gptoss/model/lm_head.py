"""The output layer of a checkpoint: what turns a hidden state into logits, read row by row.

logits = weight [vocabulary, hidden] . state [hidden], without a bias, where the state comes out of the
final RMSNorm. A row is decoded when its token is asked for, so the whole layer (1.2 GB in GPT-OSS-20B) is
never held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.arrays import Float32Array, IntArray
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.gptoss import VOCABULARY_SIZE
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.safetensors_file import (
    INTEGERS,
    MappedTensor,
    as_float32,
    find_tensor,
    map_tensor,
    parse_file,
)

__all__ = ["LmHead", "read_lm_head"]

_HEAD = "lm_head.weight"
_TIED = "model.embed_tokens.weight"
_NORM = "model.norm.weight"
_USED_IDS = "used_ids"
"""Of the compact form: the ids that have a row of their own, ascending; the last row is all others'."""


@dataclass(frozen=True, slots=True, eq=False)
class LmHead:
    """The output layer and the final norm of a checkpoint.

    ``vocabulary`` is the number of token ids, ``hidden`` the size of a state, ``norm`` float32 [hidden] the
    final norm's weight. ``table`` holds one row a token; with ``used_ids`` it is the compact form's.
    """

    vocabulary: int
    hidden: int
    norm: Float32Array
    table: MappedTensor
    used_ids: IntArray | None = None

    def rows(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> Float32Array:
        """The weights of these tokens, float32 [n, hidden], in their order; exact.

        Memory that reading them took is given back. Raises IndexError for an id that the vocabulary lacks.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.vocabulary:
            raise IndexError(
                f"token ids {wanted.min()} to {wanted.max()} of a vocabulary of {self.vocabulary}"
            )
        found = as_float32(self.table.elements[self._places(wanted)])
        self.table.give_back()
        return found

    def _places(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self.used_ids is None:
            return ids
        shared = len(self.used_ids)
        places = np.searchsorted(self.used_ids, ids)
        own = self.used_ids[np.minimum(places, shared - 1)] == ids
        return np.where(own, places, shared)


def read_lm_head(checkpoint: Path) -> LmHead:
    """The output layer of a checkpoint: a Hugging Face folder, or one ``.safetensors`` file.

    Tensors of BF16, F16 and F32 are read: of ordinary checkpoints, of MXFP4 ones, whose output layer is not
    quantised, and of the compact form. Without ``lm_head.weight`` the embedding is taken, unless the
    ``config.json`` beside says that the two are not tied.

    Raises:
        UsageError: the checkpoint is missing or damaged, lacks a tensor, has it in another dtype, or the
            shapes do not fit each other.
    """
    config = _config(checkpoint)
    table, norm = _table(checkpoint, tied=config.get("tie_word_embeddings") is not False), _norm(checkpoint)
    _refuse_misfit(checkpoint, table.elements.shape, norm.shape)
    rows, hidden = table.elements.shape
    used = _used_ids(checkpoint, rows)
    size = rows if used is None else config.get("vocab_size")
    return LmHead(
        vocabulary=size if isinstance(size, int) else VOCABULARY_SIZE,
        hidden=hidden,
        norm=norm,
        table=table,
        used_ids=used,
    )


def _config(checkpoint: Path) -> dict[str, Json]:
    """The ``config.json`` of a checkpoint, empty where there is none."""
    file = (checkpoint.parent if checkpoint.is_file() else checkpoint) / "config.json"
    config = parse_file(file) if file.is_file() else {}
    return config if isinstance(config, dict) else {}


def _table(checkpoint: Path, *, tied: bool) -> MappedTensor:
    tensor = find_tensor(checkpoint, _HEAD) or (find_tensor(checkpoint, _TIED) if tied else None)
    if tensor is not None:
        return map_tensor(tensor)
    looked_for = (
        f"nor {_TIED}, which takes its place" if tied else f"and config.json says that {_TIED} is not tied"
    )
    raise UsageError(
        f"{checkpoint} holds no {_HEAD}, {looked_for}: name the checkpoint's folder, or the file "
        f"that holds it together with {_NORM}"
    )


def _norm(checkpoint: Path) -> Float32Array:
    tensor = find_tensor(checkpoint, _NORM)
    if tensor is None:
        raise UsageError(
            f"{checkpoint} holds no {_NORM}, by which recovered states are checked: name the checkpoint's "
            f"folder, or the file that holds it together with {_HEAD}"
        )
    return as_float32(map_tensor(tensor).elements)


def _refuse_misfit(checkpoint: Path, table: tuple[int, ...], norm: tuple[int, ...]) -> None:
    if len(table) != 2 or norm != table[1:]:
        raise UsageError(
            f"{checkpoint}: the output layer has the shape {list(table)} and the final norm {list(norm)}, "
            "[vocabulary, hidden] and [hidden] belong together: name one checkpoint, unchanged"
        )


def _used_ids(checkpoint: Path, rows: int) -> IntArray | None:
    stored = find_tensor(checkpoint, _USED_IDS)
    if stored is None:
        return None
    used = map_tensor(stored, INTEGERS).elements
    if used.shape != (rows - 1,) or used[0] < 0 or (np.diff(used) <= 0).any():
        raise UsageError(
            f"{stored.file}: {_USED_IDS} of {stored.dtype} {list(stored.shape)} does not name the "
            f"{rows - 1} tokens of the output layer's rows in ascending order: fetch the checkpoint again"
        )
    ids: IntArray = np.asarray(used, dtype=np.int32)
    return ids
