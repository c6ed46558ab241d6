"""What plain transformers computes from the tiny checkpoint, to hold the reference server against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from transformers import GptOssForCausalLM

from pytest_gptoss.reference import checkpoint
from pytest_gptoss.reference.checkpoint import DtypeName, LoadedModel
from pytest_gptoss.reference.forward import Forward, Piece
from pytest_gptoss.reference.kv_cache import KeyValueCache


@lru_cache
def tiny(dtype: DtypeName = "float32") -> LoadedModel:
    """The tiny model as the server runs it; shared, so not to be changed."""
    torch.set_num_threads(1)
    return checkpoint.load("tiny", dtype)


@lru_cache
def plain(dtype: DtypeName = "float32") -> GptOssForCausalLM:
    """The same weights in transformers' own eager code, one row per known id."""
    model = checkpoint.load("tiny", "float32").model.to(getattr(torch, dtype))
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    return model


def plain_states(ids: Sequence[int], model: GptOssForCausalLM | None = None) -> Tensor:
    """States after the final norm, one row per token, from a single uncached forward."""
    with torch.inference_mode():
        rows = tiny().vocabulary.rows(torch.tensor(ids)).unsqueeze(0)
        return (model or plain()).model(rows, use_cache=False).last_hidden_state[0]


def plain_logits(ids: Sequence[int], model: GptOssForCausalLM | None = None) -> Tensor:
    """Logits by row, float32 [tokens, rows]."""
    with torch.inference_mode():
        return (model or plain()).lm_head(plain_states(ids, model)).float()


def fed(forward: Forward, cache: KeyValueCache, ids: Sequence[int]) -> Tensor:
    """Logits by row after each of some more tokens of one sequence."""
    with torch.inference_mode():
        start = cache.length
        states = forward.hidden([Piece(cache, ids)])[0]
        return forward.logits(states, torch.arange(start, start + len(ids)))


def some_ids(count: int, seed: int = 0) -> list[int]:
    """Token ids the tiny model knows, in no sensible order."""
    known = (tiny().vocabulary.copies == 1).nonzero().flatten()
    known = tiny().vocabulary.first_id[known]
    known = known[known < 199_998]
    picked = torch.randint(len(known), (count,), generator=torch.Generator().manual_seed(seed))
    return known[picked].tolist()
