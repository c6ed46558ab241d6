"""The faults that can be switched on, one at a time, to see whether a suite notices them.

Each is a real change to the weights, the forward pass, the serving or the timing, modelled on one that
was seen in the field. The table is all that most callers need; nothing here imports torch until a model
is to be damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pytest_gptoss.model.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GptOssForCausalLM

__all__ = ["DEFECTS", "Defect", "Faults", "Kind", "damage", "expert_lost", "faults_of", "find"]

Kind: TypeAlias = Literal["numerics", "serving", "timing"]

KV_SHIFT_FROM = 128
NAN_EVERY = 32
REPEAT_EVERY = 16
FLAKY_EVERY = 500
INT4_GROUP = 32
PREFILL_DELAY_S = 2.0
DECODE_DELAY_S = 0.25
STALL_AFTER = 8
IN_FLIGHT = 8
"""So many sequences run at once where a fault of batching shows."""
CROSSTALK_EVERY = 30
CROSSTALK_FROM = 256
"""Tokens of context from which on a sequence can meet its neighbour: a slot wider than the first."""
CROSSTALK_SAID = 3
STALE_FROM = 512
EDGE_TOKENS = 1
LEAKED_ROWS = 256


@dataclass(frozen=True, slots=True)
class Defect:
    """A fault by name. ``kind`` says what it spoils: the figures, what is sent, or when."""

    name: str
    kind: Kind
    explanation: str


@dataclass(frozen=True, slots=True)
class Faults:
    """What the engine does wrong beside the model's own damage; the default is nothing.

    ``sinks_in_decode``: single-token steps see the attention sinks. ``kv_shift_from``: values from
    this position on are stored one row late. ``nan_every`` and ``repeat_every``: how often, in
    positions and in generated tokens, logits are NaN or the last token comes again. ``flaky_every``: one
    forward pass in so many goes without an expert. Delays in seconds, per prompt and per token;
    ``stall_after`` is the number of tokens after which nothing more comes. ``keeps_aborted``: a request
    goes on when its client has left.

    ``crosstalk_every``: of the sequences that join while 8 run, one in so many attends to a neighbour.
    ``stale_from``: from this token of a prompt on, the prefix cache looks at places, not at tokens.
    ``edge_tokens``: so many tokens behind a chunk edge see half of their context. ``recompute_shift``:
    positions that tokens computed again after a preemption stand too late. ``leaked_rows``: so many last
    rows of a sequence that was aborted while 8 ran stay in its slot for the next one.
    """

    sinks_in_decode: bool = True
    kv_shift_from: int | None = None
    nan_every: int | None = None
    repeat_every: int | None = None
    flaky_every: int | None = None
    prefill_delay_s: float = 0.0
    decode_delay_s: float = 0.0
    stall_after: int | None = None
    keeps_aborted: bool = False
    crosstalk_every: int | None = None
    stale_from: int | None = None
    edge_tokens: int = 0
    recompute_shift: int = 0
    leaked_rows: int = 0


_TABLE = (
    Defect(
        "plain-swiglu",
        "numerics",
        "experts use silu(gate) * up: no clamp, no 1.702, no +1 (gpt-oss wants its own swiglu)",
    ),
    Defect("no-sinks", "numerics", "attention ignores the learnt sinks in every layer"),
    Defect("no-sliding-window", "numerics", "sliding layers see the whole context instead of 128 tokens"),
    Defect("no-yarn", "numerics", "plain rotary positions: no YaRN frequencies, no attention factor"),
    Defect("zero-expert", "numerics", "expert 0 of every layer answers zero, as if its weights were lost"),
    Defect("top1-routing", "numerics", "the router sends a token to its best expert alone"),
    Defect("int4-experts", "numerics", f"expert weights rounded to 4-bit integers in groups of {INT4_GROUP}"),
    Defect("decode-no-sinks", "numerics", "sinks are dropped while generating, kept in the prompt"),
    Defect(
        "kv-shift",
        "numerics",
        f"from position {KV_SHIFT_FROM} on values are cached one row late: keys answer with a neighbour's",
    ),
    Defect("nan-logits", "numerics", f"the logits of every {NAN_EVERY}th position are NaN"),
    Defect("repeat-token", "numerics", f"every {REPEAT_EVERY}th generated token is the one before it again"),
    Defect(
        "flaky-expert",
        "numerics",
        f"in one forward pass in {FLAKY_EVERY}, expert 0 of every layer answers zero",
    ),
    Defect(
        "batch-crosstalk",
        "numerics",
        f"one answer in {CROSSTALK_EVERY}, at {IN_FLIGHT} or more in flight, attends to a neighbour's prompt",
    ),
    Defect(
        "stale-cache",
        "numerics",
        f"{STALE_FROM} tokens into a prompt, the blocks come from another that was cached and began alike",
    ),
    Defect("chunk-edge", "numerics", "the first token behind a chunk edge of a prompt sees half its window"),
    Defect("recompute-shift", "numerics", "what a preemption makes compute again stands one position late"),
    Defect(
        "abort-leak",
        "numerics",
        f"with {IN_FLIGHT} in flight, the first cache rows of a sequence are those of an aborted one",
    ),
    Defect("harmony-leak", "serving", "harmony control tokens stay in the content and the reasoning"),
    Defect("wrong-date", "serving", "the system message holds another date than the pinned one"),
    Defect("truncate-context", "serving", "the middle of a long prompt is dropped without a word"),
    Defect("slow-prefill", "timing", f"the first token comes {PREFILL_DELAY_S:g} s late"),
    Defect("slow-decode", "timing", f"each later token comes {DECODE_DELAY_S * 1000:g} ms late"),
    Defect("keeps-aborted", "timing", "a request goes on to its end although its client has left"),
    Defect("stall", "timing", f"a stream goes silent after {STALL_AFTER} tokens and stays open"),
)

DEFECTS: Mapping[str, Defect] = MappingProxyType({defect.name: defect for defect in _TABLE})
"""Every defect by its name, in the order ``--defect list`` prints."""

_FAULTS: Mapping[str, Faults] = MappingProxyType(
    {
        "decode-no-sinks": Faults(sinks_in_decode=False),
        "kv-shift": Faults(kv_shift_from=KV_SHIFT_FROM),
        "nan-logits": Faults(nan_every=NAN_EVERY),
        "repeat-token": Faults(repeat_every=REPEAT_EVERY),
        "flaky-expert": Faults(flaky_every=FLAKY_EVERY),
        "slow-prefill": Faults(prefill_delay_s=PREFILL_DELAY_S),
        "slow-decode": Faults(decode_delay_s=DECODE_DELAY_S),
        "keeps-aborted": Faults(keeps_aborted=True),
        "stall": Faults(stall_after=STALL_AFTER),
        "batch-crosstalk": Faults(crosstalk_every=CROSSTALK_EVERY),
        "stale-cache": Faults(stale_from=STALE_FROM),
        "chunk-edge": Faults(edge_tokens=EDGE_TOKENS),
        "recompute-shift": Faults(recompute_shift=1),
        "abort-leak": Faults(leaked_rows=LEAKED_ROWS),
    }
)


_RATES: Mapping[str, Callable[[int], Faults]] = MappingProxyType(
    {
        "nan-logits": lambda every: Faults(nan_every=every),
        "repeat-token": lambda every: Faults(repeat_every=every),
        "flaky-expert": lambda every: Faults(flaky_every=every),
        "batch-crosstalk": lambda every: Faults(crosstalk_every=every),
    }
)
"""The faults of a defect that strikes once in so many."""


def find(name: str) -> Defect:
    """The defect of that name, behind which ``:N`` may say that it strikes once in N.

    Raises:
        UsageError: there is none, it strikes always, or N is no whole number from 1 on; the message lists
            those there are.
    """
    plain, colon, every = name.partition(":")
    if plain not in DEFECTS or (colon and (plain not in _RATES or not _is_rate(every))):
        raise UsageError(
            f"--defect {name!r} is unknown: choose one of {', '.join(DEFECTS)}; how often it strikes, as in "
            f"flaky-expert:20 for once in 20, can be said of {', '.join(_RATES)}"
        )
    return DEFECTS[plain]


def _is_rate(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def faults_of(name: str | None) -> Faults:
    """What the engine itself must do wrong for a defect; nothing for None and for all other defects."""
    plain, _, every = (name or "").partition(":")
    return _RATES[plain](int(every)) if every else _FAULTS.get(plain, Faults())


# -- damage to the model ----------------------------------------------------------------------------


def damage(model: GptOssForCausalLM, name: str | None) -> None:
    """Change a loaded model as the defect says; those that live elsewhere leave it as it is."""
    if name is not None and name in _DAMAGE:
        _DAMAGE[name](model)


def _plain_swiglu(model: GptOssForCausalLM) -> None:
    from torch.nn.functional import silu

    def gate(gate_up: Tensor) -> Tensor:
        return silu(gate_up[..., ::2]) * gate_up[..., 1::2]

    for experts in _experts(model):
        experts._apply_gate = gate


def _no_sinks(model: GptOssForCausalLM) -> None:
    for layer in model.model.layers:
        layer.self_attn.sinks.fill_(float("-inf"))


def _no_sliding_window(model: GptOssForCausalLM) -> None:
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None


def _no_yarn(model: GptOssForCausalLM) -> None:
    rotary = model.model.rotary_emb
    rotary.inv_freq, rotary.attention_scaling = rotary.compute_default_rope_parameters(rotary.config)


def _zero_expert(model: GptOssForCausalLM) -> None:
    for experts in _experts(model):
        experts.down_proj[0] = 0
        experts.down_proj_bias[0] = 0


@contextmanager
def expert_lost(model: GptOssForCausalLM) -> Iterator[None]:
    """Let expert 0 of every layer answer zero meanwhile, and what it did before afterwards."""
    kept = [(experts.down_proj[0].clone(), experts.down_proj_bias[0].clone()) for experts in _experts(model)]
    _zero_expert(model)
    try:
        yield
    finally:
        for experts, (weights, bias) in zip(_experts(model), kept, strict=True):
            experts.down_proj[0] = weights
            experts.down_proj_bias[0] = bias


def _top1_routing(model: GptOssForCausalLM) -> None:
    for layer in model.model.layers:
        layer.mlp.router.top_k = 1


def _int4_experts(model: GptOssForCausalLM) -> None:
    for experts in _experts(model):
        for weights in (experts.gate_up_proj, experts.down_proj):
            for expert in weights:
                expert.copy_(_rounded_to_int4(expert))


def _rounded_to_int4(weights: Tensor) -> Tensor:
    """``weights`` [inputs, outputs] on 15 levels, one scale for each group of inputs of an output."""
    import torch

    groups = weights.float().view(-1, INT4_GROUP, weights.shape[-1])
    scale = groups.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 7
    return torch.flatten((groups / scale).round() * scale, 0, 1)


def _experts(model: GptOssForCausalLM) -> list[Any]:
    return [layer.mlp.experts for layer in model.model.layers]


_DAMAGE: Mapping[str, Callable[[GptOssForCausalLM], None]] = MappingProxyType(
    {
        "plain-swiglu": _plain_swiglu,
        "no-sinks": _no_sinks,
        "no-sliding-window": _no_sliding_window,
        "no-yarn": _no_yarn,
        "zero-expert": _zero_expert,
        "top1-routing": _top1_routing,
        "int4-experts": _int4_experts,
    }
)
