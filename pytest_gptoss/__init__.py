"""Acceptance suite for GPT-OSS served by vLLM: whether an NPU is as right as a GPU, and fast enough.

The names below are what a project's own tests, hooks and plug-ins import; every other module may change its
place. They are imported when they are first asked for: a plain pytest run does not need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gptoss.judge.conditions import CPU, FIRST, FLEET, GPU, GPU_CHAT, PEER, Condition
    from pytest_gptoss.judge.evidence import pair, sound_items
    from pytest_gptoss.judge.metric import Metric, metric
    from pytest_gptoss.judge.roles import Roles
    from pytest_gptoss.model.errors import ConditionAbsent, GptossError, InsufficientData, MeasurementError
    from pytest_gptoss.model.inputs import Message, Prompt, TokenSequence
    from pytest_gptoss.model.results import Failure, Generation, HiddenStates, Measurement, ScoredSequence
    from pytest_gptoss.model.subjects import Device
    from pytest_gptoss.model.verdicts import Estimate, Threshold, Verdict
    from pytest_gptoss.scenarios.kinds import (
        Drift,
        Feature,
        Forced,
        Greedy,
        Hidden,
        Load,
        Needle,
        Preflight,
        Rendered,
    )

__version__ = "0.2.0"

__all__ = [
    "CPU",
    "FIRST",
    "FLEET",
    "GPU",
    "GPU_CHAT",
    "PEER",
    "Condition",
    "ConditionAbsent",
    "Device",
    "Drift",
    "Estimate",
    "Failure",
    "Feature",
    "Forced",
    "Generation",
    "GptossError",
    "Greedy",
    "Hidden",
    "HiddenStates",
    "InsufficientData",
    "Load",
    "Measurement",
    "MeasurementError",
    "Message",
    "Metric",
    "Needle",
    "Preflight",
    "Prompt",
    "Rendered",
    "Roles",
    "ScoredSequence",
    "Threshold",
    "TokenSequence",
    "Verdict",
    "__version__",
    "metric",
    "pair",
    "sound_items",
]

_HOMES = {
    "judge.conditions": ("CPU", "FIRST", "FLEET", "GPU", "GPU_CHAT", "PEER", "Condition"),
    "judge.evidence": ("pair", "sound_items"),
    "judge.metric": ("Metric", "metric"),
    "judge.roles": ("Roles",),
    "model.errors": ("ConditionAbsent", "GptossError", "InsufficientData", "MeasurementError"),
    "model.inputs": ("Message", "Prompt", "TokenSequence"),
    "model.results": ("Failure", "Generation", "HiddenStates", "Measurement", "ScoredSequence"),
    "model.subjects": ("Device",),
    "model.verdicts": ("Estimate", "Threshold", "Verdict"),
    "scenarios.kinds": (
        "Drift", "Feature", "Forced", "Greedy", "Hidden", "Load", "Needle", "Preflight", "Rendered",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
