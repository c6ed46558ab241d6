"""Ways of computing GPT-OSS wrongly, as data: what training punishes and the defect table shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = ["DAMAGES", "SOUND", "Damage", "Gate"]

Gate: TypeAlias = Literal["gpt-oss", "unclamped", "plain"]


@dataclass(frozen=True, slots=True)
class Damage:
    """How a forward pass differs from the right one; the default differs in nothing.

    ``window``: tokens a sliding layer sees, None for all. ``gate``: plain is silu(gate) * up, unclamped
    lacks the limit of 7 alone. ``lost_expert``: (layer or None for all, expert) whose answer is zero.
    ``early_softmax``: routing weights from a softmax over all experts, the kept ones not made to sum to
    one. ``mixed_groups``: query head h reads key/value head h modulo their number. ``int4_along``: expert
    matrices rounded to 4-bit integers, a scale for every 32 weights along the input or the output.
    """

    sinks: bool = True
    window: int | None = 128
    yarn_frequencies: bool = True
    yarn_scale: bool = True
    gate: Gate = "gpt-oss"
    lost_expert: tuple[int | None, int] | None = None
    top_k: int = 2
    early_softmax: bool = False
    mixed_groups: bool = False
    int4_along: Literal["input", "output"] | None = None


SOUND = Damage()

DAMAGES: Mapping[str, Damage] = MappingProxyType(
    {
        "no sinks": Damage(sinks=False),
        "no sliding window": Damage(window=None),
        "window 64": Damage(window=64),
        "no YaRN": Damage(yarn_frequencies=False, yarn_scale=False),
        "YaRN frequencies missing": Damage(yarn_frequencies=False),
        "YaRN scale missing": Damage(yarn_scale=False),
        "plain swiglu": Damage(gate="plain"),
        "no clamp": Damage(gate="unclamped"),
        **{f"expert {expert} zeroed": Damage(lost_expert=(None, expert)) for expert in range(4)},
        **{f"expert 0 zeroed in layer {layer}": Damage(lost_expert=(layer, 0)) for layer in range(4)},
        "top-1 routing": Damage(top_k=1),
        "softmax before top-k": Damage(early_softmax=True),
        "wrong GQA mapping": Damage(mixed_groups=True),
        "4-bit experts (groups along the input)": Damage(int4_along="input"),
        "4-bit experts (groups along the output)": Damage(int4_along="output"),
    }
)
"""Every damage of the defect table by its name."""
