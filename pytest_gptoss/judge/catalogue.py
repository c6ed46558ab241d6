"""Every metric by name: what it needs measured, when it applies, and what must hold first.

A project adds its own with the ``pytest_gptoss_thresholds`` hook: this is a plain mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.judge.metrics import (
    edges,
    forced,
    hidden,
    inputs,
    leakage,
    needle,
    noise,
    perplexity,
    prefill,
    rouge,
    tokens,
)
from pytest_gptoss.records import Estimate, Forced, Greedy, Hidden, Needle, Scenario

__all__ = [
    "CPU_SEQUENCES",
    "INFO",
    "METRICS",
    "NEEDLE_CELLS",
    "NEEDLE_DEPTHS",
    "NEEDLE_LENGTHS",
    "NOISE_CONCURRENCY",
    "NOISE_PROMPTS",
    "Metric",
    "Roles",
]

CPU_SEQUENCES = 8
"""Baseline sequences that the CPU scores: FP32 of 20B parameters is slow."""
NOISE_PROMPTS = 16
"""Prompts each device answers again, alone and batched, for its noise floor."""
NOISE_CONCURRENCY = 8
"""Requests at once in the batched part of the noise floor."""

NEEDLE_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in the haystack a needle may lie."""
NEEDLE_LENGTHS = (256, 512, 1024, 2048, 4096, 32_768, 65_536, 98_304, 131_072)
"""Prompt lengths of needle cells in tokens."""

BASELINE = ("baseline.perplexity", "baseline.kl")
SAME_INPUTS = ("inputs.identical", *BASELINE)


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the devices that play in a verdict about ``npu``; None where a role is empty.

    ``prompt_ids_of`` names the device whose prompt ids all are given, None when each renders its own.
    """

    npu: str
    gpu: str | None = None
    cpu: str | None = None
    prompt_ids_of: str | None = None


Needs: TypeAlias = Callable[[Roles], Mapping[str, Scenario]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure and all there is to know before it is measured.

    ``compute`` takes the measurements of ``needs`` by keyword and returns an Estimate.
    ``condition`` "cpu": without a CPU reference the row is skipped. ``baseline``: it compares with the
    GPU, so without one it is INVALID. ``rests_on``: threshold ids that must hold; when one
    FAILs or is INVALID this metric means nothing. ``statistics`` names what a threshold
    may gate, the default first. ``beside`` names the INFO metrics that are measured and printed with it.
    """

    name: str
    compute: Callable[..., Estimate]
    needs: Needs
    condition: Literal["cpu"] | None = None
    rests_on: tuple[str, ...] = ()
    baseline: bool = False
    statistics: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def _greedy(
    device: str, roles: Roles, *, concurrency: int = 1, repeat: int = 0, limit: int | None = None
) -> Greedy:
    return Greedy(
        device, concurrency=concurrency, repeat=repeat, limit=limit, prompt_ids_of=roles.prompt_ids_of
    )


def _answers_of(device: str, roles: Roles, *, scored_by: str, limit: int | None = None) -> Forced:
    return Forced(scored_by, source=device, limit=limit, outputs=_greedy(device, roles))


def _baseline_of(roles: Roles) -> str:
    if roles.gpu is None:
        raise ValueError("this metric compares with a gpu, and there is none")
    return roles.gpu


def _reference_of(roles: Roles) -> str:
    if roles.cpu is None:
        raise ValueError("this metric compares with a cpu, and there is none")
    return roles.cpu


def _own_chat_answers(roles: Roles) -> Mapping[str, Scenario]:
    # Only chat answers are parsed into channels; raw completions cannot leak.
    return {"npu": Greedy(roles.npu)}


def _both_answers(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": _greedy(roles.npu, roles), "gpu": _greedy(_baseline_of(roles), roles)}


def _both_on_corpus(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Forced(roles.npu), "gpu": Forced(_baseline_of(roles))}


def _both_hidden(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Hidden(roles.npu), "gpu": Hidden(_baseline_of(roles))}


def _both_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    gpu = _baseline_of(roles)
    return {
        "npu": _answers_of(gpu, roles, scored_by=roles.npu),
        "gpu": _answers_of(gpu, roles, scored_by=gpu),
    }


def _npu_on_itself(roles: Roles) -> Mapping[str, Scenario]:
    return {
        "generated": _greedy(roles.npu, roles),
        "forced": _answers_of(roles.npu, roles, scored_by=roles.npu),
    }


def _cpu_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    # The GPU's scores of all sequences are measured anyway; the metric takes what the CPU scored.
    gpu, cpu = _baseline_of(roles), _reference_of(roles)
    return {
        "gpu": _answers_of(gpu, roles, scored_by=gpu),
        "cpu": _answers_of(gpu, roles, scored_by=cpu, limit=CPU_SEQUENCES),
    }


def _all_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    pairwise = _both_on_baseline(roles)
    return pairwise if roles.cpu is None else {**pairwise, "cpu": _cpu_on_baseline(roles)["cpu"]}


def _repeats(device: str, roles: Roles) -> Mapping[str, Scenario]:
    return {
        "first": _greedy(device, roles),
        "again": _greedy(device, roles, repeat=1, limit=NOISE_PROMPTS),
        "batched": _greedy(device, roles, concurrency=NOISE_CONCURRENCY, limit=NOISE_PROMPTS),
    }


NEEDLE_CELLS: Mapping[str, tuple[float, int]] = {
    Needle("", depth, length).cell: (depth, length) for length in NEEDLE_LENGTHS for depth in NEEDLE_DEPTHS
}
"""Depth and length of every cell a threshold may name."""


def _needle_recall(cell: str) -> Metric:
    depth, length = NEEDLE_CELLS[cell]
    return Metric(
        f"needle_recall.{cell}",
        needle.needle_recall,
        lambda roles: {"npu": Needle(roles.npu, depth, length)},
        statistics=("rate",),
        beside=(f"needle_edge.{cell}",),
    )


def _needle_control(cell: str) -> Metric:
    depth, length = NEEDLE_CELLS[cell]
    return Metric(
        f"needle_control.{cell}",
        needle.needle_control,
        lambda roles: {"npu": Needle(roles.npu, depth, length, control=True)},
        statistics=("count",),
    )


def _needle_edge(cell: str) -> Metric:
    depth, length = NEEDLE_CELLS[cell]
    return Metric(
        f"needle_edge.{cell}",
        needle.needle_edge,
        lambda roles: {
            "npu": Needle(roles.npu, depth, length),
            "gpu": Needle(_baseline_of(roles), depth, length),
        },
        baseline=True,
    )


def _by_name(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Mapping[str, Metric] = _by_name(
    Metric("inputs_identical", inputs.identical, _both_answers, baseline=True, statistics=("rate",)),
    Metric(
        "baseline_perplexity",
        perplexity.baseline_perplexity,
        _cpu_on_baseline,
        condition="cpu",
        baseline=True,
        statistics=("relative difference",),
    ),
    Metric(
        "baseline_kl",
        forced.baseline_kl,
        _cpu_on_baseline,
        condition="cpu",
        baseline=True,
        statistics=("mean",),
        beside=("edges",),
    ),
    Metric(
        "token_match_rate",
        tokens.token_match_rate,
        _both_answers,
        rests_on=SAME_INPUTS,
        baseline=True,
        statistics=("rate",),
        beside=("noise_npu", "noise_gpu"),
    ),
    Metric(
        "hidden_cosine",
        hidden.hidden_cosine,
        _both_hidden,
        rests_on=BASELINE,
        baseline=True,
        statistics=("worst sequence mean",),
    ),
    Metric(
        "perplexity_diff",
        perplexity.perplexity_diff,
        _both_on_corpus,
        rests_on=BASELINE,
        baseline=True,
        statistics=("relative difference",),
    ),
    Metric(
        "rouge_l", rouge.rouge_l, _both_answers, rests_on=SAME_INPUTS, baseline=True, statistics=("mean",)
    ),
    Metric(
        "forced_agreement",
        forced.forced_agreement,
        _both_on_baseline,
        rests_on=SAME_INPUTS,
        baseline=True,
        statistics=("rate",),
    ),
    Metric(
        "kl",
        forced.kl,
        _both_on_baseline,
        rests_on=SAME_INPUTS,
        baseline=True,
        statistics=("mean",),
        beside=("edges",),
    ),
    Metric("decode_prefill", prefill.decode_prefill, _npu_on_itself, statistics=("worst prompt mean",)),
    Metric("leakage", leakage.leakage, _own_chat_answers, statistics=("count",)),
    *map(_needle_recall, NEEDLE_CELLS),
    *map(_needle_control, NEEDLE_CELLS),
)
"""Metrics that thresholds gate."""

INFO: Mapping[str, Metric] = _by_name(
    Metric("noise_npu", noise.noise, lambda roles: _repeats(roles.npu, roles)),
    Metric("noise_gpu", noise.noise, lambda roles: _repeats(_baseline_of(roles), roles), baseline=True),
    Metric("edges", edges.edges, _all_on_baseline, baseline=True),
    *map(_needle_edge, NEEDLE_CELLS),
)
"""Metrics that are printed beside the verdicts and never judged."""
