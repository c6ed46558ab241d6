"""Every metric by name: what it needs measured, when it applies, and what must hold first.

A project adds its own with the ``pytest_gptoss_thresholds`` hook: this is a plain mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from pytest_gptoss.judge.instrument import Clock
from pytest_gptoss.judge.load import FIGURES
from pytest_gptoss.judge.metrics import (
    capability,
    drift,
    edges,
    forced,
    hidden,
    inputs,
    known_defects,
    leakage,
    needle,
    noise,
    performance,
    perplexity,
    prefill,
    preflight,
    rouge,
    tokens,
)
from pytest_gptoss.judge.metrics.performance import LATENCY_STATISTICS, RATE_STATISTICS
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.load_names import level_name
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import PRECISION_CONTRACT, Estimate, Threshold
from pytest_gptoss.scenarios.kinds import (
    Drift,
    Feature,
    FeatureName,
    Forced,
    Greedy,
    Hidden,
    Load,
    Needle,
    Preflight,
    Rendered,
    Scenario,
)

__all__ = [
    "CPU_SEQUENCES",
    "INFO",
    "LOAD_LEVELS",
    "METRICS",
    "NEEDLE_CELLS",
    "NEEDLE_DEPTHS",
    "NEEDLE_LENGTHS",
    "NOISE_CONCURRENCY",
    "NOISE_PROMPTS",
    "Metric",
    "Roles",
    "gates",
    "load_metrics",
]

CPU_SEQUENCES = 8
"""Baseline sequences that the CPU scores: FP32 of 20B parameters is slow."""
NOISE_PROMPTS = 16
"""Prompts each device answers again, alone and batched, for its noise floor."""
NOISE_CONCURRENCY = 8
"""Requests at once in the batched part of the noise floor."""

NEEDLE_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where in the haystack a needle may lie."""
NEEDLE_LENGTHS = (256, 512, 1024, 2048, 4096, 32_768, 65_536, 98_304, CONTEXT)
"""Prompt lengths of needle cells in tokens."""

LOAD_LEVELS = (1, 4, 8, 16)
"""Concurrency of the acceptance guide's load levels."""
PREFLIGHT = ("preflight.ready", "preflight.model", "preflight.tokenizer")
DISTINCT = "preflight.distinct"
BASELINE_PREFLIGHT = ("preflight.baseline", DISTINCT)

BASELINE = ("baseline.perplexity", "baseline.kl")
SAME_INPUTS = ("inputs.identical", *BASELINE)


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the devices that play in a verdict about ``npu``; None where a role is empty.

    ``prompt_ids_of`` names the device whose prompt ids all are given, None when each renders its own.
    ``trials`` is how often each load level is measured.
    ``first`` is the first device under test, None where that is ``npu`` itself.
    """

    npu: str
    gpu: str | None = None
    cpu: str | None = None
    prompt_ids_of: str | None = None
    trials: int = 1
    first: str | None = None


Needs: TypeAlias = Callable[[Roles], Mapping[str, Scenario]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure and all there is to know before it is measured.

    ``compute`` takes the measurements of ``needs`` by keyword and returns an Estimate; where there are
    several ``statistics``, also the ``statistic`` to gate.
    ``condition``: without this part of a run the row is skipped: a CPU reference, a GPU, a GPU that renders
    chat itself, another device under test that came first, any device to compare with. ``baseline``: it
    compares with the GPU, so without one it is INVALID. ``rests_on``: threshold ids that must hold; when one
    FAILs or is INVALID this metric means nothing. ``statistics`` names what a threshold
    may gate, the default first. ``beside`` names the INFO metrics that are measured and printed with it.
    ``clock``: a latency, which means nothing where the instrument's own error is too large for the limit.
    ``given`` names what the run knows by itself and hands to ``compute`` by keyword: ``context_needed``
    (tokens that the selected rows need), ``stated`` (the user's facts, by device), ``labels`` (what the user
    calls each device).
    """

    name: str
    compute: Callable[..., Estimate]
    needs: Needs
    condition: Literal["cpu", "gpu", "gpu chat", "first", "peer"] | None = None
    rests_on: tuple[str, ...] = ()
    baseline: bool = False
    statistics: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    clock: Clock | None = None
    given: tuple[str, ...] = ()


def gates(threshold: Threshold, metric: Metric) -> tuple[str, ...]:
    """Preflight rows that must hold before a threshold is measured at all."""
    if threshold.family == "preflight":
        return () if threshold.metric in ("preflight_ready", "preflight_baseline") else (PREFLIGHT[0],)
    if metric.baseline:
        return (*PREFLIGHT, *BASELINE_PREFLIGHT)
    return (*PREFLIGHT, DISTINCT) if metric.condition == "first" else PREFLIGHT


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


def _both_prompts(roles: Roles) -> Mapping[str, Scenario]:
    # From prompts, not from answers: a device whose answers are unusable is still compared by its scores.
    sides = {"npu": roles.npu, "gpu": _baseline_of(roles)}
    return {role: Rendered(device, answers=_greedy(device, roles)) for role, device in sides.items()}


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
        beside=(f"needle_first_token.{cell}", f"needle_edge.{cell}", f"position_drift.{_size(length)}"),
    )


def _needle_control(cell: str) -> Metric:
    depth, length = NEEDLE_CELLS[cell]
    return Metric(
        f"needle_control.{cell}",
        needle.needle_control,
        lambda roles: {"npu": Needle(roles.npu, depth, length, control=True)},
        statistics=("count",),
    )


def _needle_first_token(cell: str) -> Metric:
    depth, length = NEEDLE_CELLS[cell]
    return Metric(
        f"needle_first_token.{cell}",
        needle.needle_first_token,
        lambda roles: {"npu": Needle(roles.npu, depth, length)},
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


def _size(length: int) -> str:
    return Needle("", 0, length).cell.partition("-")[2]


def _position_drift(longest: int) -> Metric:
    """Drift up to a cell's length, from scenarios that longer and shorter cells share."""
    steps = [each for each in pairwise((0, *NEEDLE_LENGTHS)) if each[1] <= longest]
    return Metric(
        f"position_drift.{_size(longest)}",
        drift.position_drift,
        lambda roles: {
            f"{role}_{length}": Drift(device, above, length)
            for role, device in (("npu", roles.npu), ("gpu", _baseline_of(roles)))
            for above, length in steps
        },
        baseline=True,
    )


def load_metrics(concurrency: int) -> Mapping[str, Metric]:
    """Everything that can be gated of one load level, by name."""
    level = level_name(concurrency)
    sound = (f"performance.completed.{level}", f"performance.uncached.{level}")

    def trials(roles: Roles) -> Mapping[str, Scenario]:
        return {f"trial_{trial}": Load(roles.npu, concurrency, trial) for trial in range(roles.trials)}

    def metric(
        figure: str,
        compute: Callable[..., Estimate],
        statistics: tuple[str, ...],
        *,
        rests_on: tuple[str, ...] = sound,
        clock: Clock | None = None,
    ) -> Metric:
        return Metric(
            f"{figure}.{level}", compute, trials, rests_on=rests_on, statistics=statistics, clock=clock
        )

    latencies = [
        metric(
            figure,
            partial(performance.latency, figure=figure),
            LATENCY_STATISTICS,
            clock="tpot" if figure == "tpot" else "ttft",
        )
        for figure in FIGURES
    ]
    return _by_name(
        *latencies,
        metric("itl", performance.itl, LATENCY_STATISTICS, clock="ttft"),
        metric("throughput", performance.throughput, RATE_STATISTICS),
        metric("qps", performance.qps, RATE_STATISTICS),
        metric("error_rate", performance.error_rate, ("rate",), rests_on=()),
        metric("completed", performance.completed, ("rate",), rests_on=()),
        metric("uncached", performance.uncached, ("count",), rests_on=()),
    )


def _facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Preflight(roles.npu)}


def _both_facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Preflight(roles.npu), "gpu": Preflight(_baseline_of(roles))}


def _facts_of_baseline(roles: Roles) -> Mapping[str, Scenario]:
    others = {"gpu": _baseline_of(roles), "cpu": roles.cpu}
    return {role: Preflight(name) for role, name in others.items() if name is not None}


def _facts_of_judged(roles: Roles) -> Mapping[str, Scenario]:
    """The device under test, and the baseline where there is one."""
    return _facts(roles) if roles.gpu is None else _both_facts(roles)


def _facts_of_compared(roles: Roles) -> Mapping[str, Scenario]:
    compared = {"npu": roles.npu, "first": roles.first, "gpu": roles.gpu}
    if roles.gpu is not None:
        compared["cpu"] = roles.cpu
    return {role: Preflight(name) for role, name in compared.items() if name is not None}


def _smoke(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Greedy(roles.npu, "smoke")}


def _feature(name: FeatureName, key: str = "npu") -> Needs:
    return lambda roles: {key: Feature(roles.npu, name)}


def _questions(key: str, *others: tuple[str, FeatureName]) -> Needs:
    """The short questions as chat answers them, streamed, and the same in other ways."""
    return lambda roles: {
        key: Greedy(roles.npu, "features"),
        **{name: Feature(roles.npu, feature) for name, feature in others},
    }


def _tools(choice: str, feature: FeatureName) -> Metric:
    return Metric(
        f"tools_{choice}", partial(capability.tools, choice=choice), _feature(feature), statistics=("rate",)
    )


def _first_of(roles: Roles) -> str:
    if roles.first is None:
        raise ValueError("this metric compares with the first device under test, and that is this one")
    return roles.first


def _against_first(metric: Metric, *, rests_on: tuple[str, ...]) -> Metric:
    """The same comparison with the first device under test in the baseline's place."""

    def needs(roles: Roles) -> Mapping[str, Scenario]:
        return metric.needs(replace(roles, gpu=_first_of(roles)))

    @wraps(metric.compute)
    def compute(**measured: Measurement[Any]) -> Estimate:
        estimate = metric.compute(**measured)
        return replace(estimate, unit=estimate.unit.replace("GPU", "first"))

    return Metric(
        f"configuration_{metric.name}",
        compute,
        needs,
        condition="first",
        rests_on=rests_on,
        statistics=metric.statistics,
    )


def _by_name(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


_PREFLIGHT = (
    Metric("preflight_ready", preflight.ready, _facts, statistics=("count",)),
    Metric("preflight_model", preflight.model, _facts, statistics=("count",)),
    Metric("preflight_tokenizer", preflight.tokenizer, _facts, statistics=("count",)),
    Metric(
        "preflight_baseline",
        preflight.baseline,
        _facts_of_baseline,
        condition="gpu",
        statistics=("count",),
    ),
    Metric(
        "preflight_distinct",
        preflight.distinct,
        _facts_of_compared,
        condition="peer",
        statistics=("count",),
    ),
    Metric(
        "preflight_context", preflight.context, _facts, statistics=("shortfall",), given=("context_needed",)
    ),
    Metric(
        "preflight_versions",
        partial(preflight.versions, required=preflight.REQUIRED_VERSIONS),
        _facts,
        statistics=("count",),
        given=("stated",),
    ),
    Metric("preflight_versions_told", preflight.versions, _facts, statistics=("count",), given=("stated",)),
    Metric(
        "known_defects",
        known_defects.present,
        _facts_of_judged,
        statistics=("count",),
        given=("stated", "labels"),
    ),
    Metric(
        "preflight_clock",
        preflight.clock,
        _both_facts,
        condition="gpu",
        rests_on=("preflight.baseline",),
        statistics=("difference",),
    ),
    Metric(
        "preflight_date",
        preflight.harmony_date,
        _both_facts,
        condition="gpu chat",
        rests_on=("preflight.baseline",),
        statistics=("difference",),
    ),
    Metric("smoke_hi", preflight.says_hi, _smoke, statistics=("count",)),
    Metric("smoke_paris", preflight.names_paris, _smoke, statistics=("count",)),
)

_CAPABILITY = (
    Metric("bf16", capability.bf16, _facts, statistics=("count",), given=("stated",)),
    Metric("mxfp4", capability.mxfp4, _facts, statistics=("count",), given=("stated",)),
    _tools("auto", "tools-auto"),
    _tools("required", "tools-required"),
    _tools("named", "tools-named"),
    Metric("reasoning", capability.reasoning, _questions("npu"), statistics=("rate",), beside=("effort",)),
    Metric("context", capability.context, _facts, statistics=("length",)),
    Metric(
        "streaming", capability.streaming, _questions("streamed", ("whole", "whole")), statistics=("rate",)
    ),
    Metric(
        "finish_reasons",
        capability.finish_reasons,
        _questions("finished", ("cut", "cut")),
        statistics=("rate",),
    ),
    Metric("no_mixing", capability.no_mixing, _feature("tags"), statistics=("count",)),
    Metric("abort_frees", capability.abort_frees, _feature("abort"), statistics=("count",)),
    Metric("survival", capability.survival, _feature("bad-requests"), statistics=("count",)),
)

_PRECISION = (
    Metric("inputs_identical", inputs.identical, _both_prompts, baseline=True, statistics=("rate",)),
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
)

_CONFIGURATION = tuple(
    _against_first(
        metric, rests_on=("configuration.inputs_identical",) if "inputs.identical" in metric.rests_on else ()
    )
    for metric in _PRECISION
    if metric.name in ("inputs_identical", *PRECISION_CONTRACT)
)
"""The precision contract once more, each device under test against the first of them."""

METRICS: Mapping[str, Metric] = _by_name(
    *_PREFLIGHT,
    *_PRECISION,
    *map(_needle_recall, NEEDLE_CELLS),
    *map(_needle_control, NEEDLE_CELLS),
    *(metric for concurrency in LOAD_LEVELS for metric in load_metrics(concurrency).values()),
    *_CAPABILITY,
    *_CONFIGURATION,
)
"""Metrics that thresholds gate."""

INFO: Mapping[str, Metric] = _by_name(
    Metric("noise_npu", noise.noise, lambda roles: _repeats(roles.npu, roles)),
    Metric("noise_gpu", noise.noise, lambda roles: _repeats(_baseline_of(roles), roles), baseline=True),
    Metric(
        "effort",
        capability.effort,
        lambda roles: {
            "low": Feature(roles.npu, "effort-low"),
            "high": Feature(roles.npu, "effort-high"),
        },
    ),
    Metric("edges", edges.edges, _all_on_baseline, baseline=True),
    *map(_needle_first_token, NEEDLE_CELLS),
    *map(_needle_edge, NEEDLE_CELLS),
    *map(_position_drift, NEEDLE_LENGTHS),
)
"""Metrics that are printed beside the verdicts and never judged."""
