"""Teacher forcing: both devices score the same tokens, so one early fork cannot hide what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.comparison import SAME_INPUTS, both_on_baseline, cpu_on_baseline
from pytest_gptoss.judge.conditions import CPU
from pytest_gptoss.judge.evidence import cut_to, refuse_short_lists, scored_pairs
from pytest_gptoss.judge.intervals import bootstrap_ratio, wilson
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.metrics.divergence import divergence
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["CLEAR_MARGIN", "baseline_kl", "forced_agreement", "kl", "mean_divergence"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CLEAR_MARGIN = 0.5
"""Nats between the reference's first two tokens, above which rounding cannot turn the choice."""

_POSITION_EDGES = (0, 16, 32, 64, 128, 256, 512, 1024)
_MARGIN_EDGES = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0)


@metric(
    "forced_agreement",
    needs=both_on_baseline,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=("rate",),
)
def forced_agreement(*, npu: Measurement[ScoredSequence], gpu: Measurement[ScoredSequence]) -> Estimate:
    """Share of clear positions where both devices' most likely token is the same.

    A position is clear when the GPU's first token leads its second by more than CLEAR_MARGIN nats.
    n sequences; BCa bootstrap over sequences, or, where all sequences agree alike and resampling knows
    nothing, Wilson's interval over the clear positions: a perfect score on few of them proves little.
    Details: ``clear_positions``, ``positions``,
    ``disagreements`` (sequence, position in it, both tokens, margin), ``by_position`` and
    ``by_margin`` tables over all positions, ``left_out``.
    """
    pairs = scored_pairs(npu, gpu)
    tables = [_agreement(ours, theirs, npu.device, gpu.device) for ours, theirs in pairs]
    counts = np.array([[each.agrees[each.clear].sum(), each.clear.sum()] for each in tables], dtype=float)
    agreed, clear = counts.sum(axis=0)
    if not clear:
        raise InsufficientData(
            say(
                "{device}: at none of its {tables} positions does the first token lead by more "
                "than {clear_margin} nat: use other prompts, or check the baseline",
                device=gpu.device,
                tables=sum(len(each.agrees) for each in tables),
                clear_margin=CLEAR_MARGIN,
            )
        )
    disagreements = [
        row for (_, theirs), each in zip(pairs, tables, strict=True) for row in _disagreements(theirs, each)
    ]
    agrees = np.concatenate([each.agrees for each in tables]).astype(float)
    details: dict[str, Json] = {
        "clear_positions": int(clear),
        "positions": len(agrees),
        "disagreements": disagreements,
        "by_position": _table(_answer_positions(pairs), _POSITION_EDGES, agreement=agrees),
        "by_margin": _table(
            np.concatenate([each.margins for each in tables]), _MARGIN_EDGES, agreement=agrees
        ),
        "left_out": dict(gpu.left_out),
    }
    if disagreements:
        first = disagreements[0]
        details["finding"] = say(
            "{disagreements} of {clear} clear positions disagree, first {sequence_id} at "
            "position {position}, margin {margin:.2f} nat",
            disagreements=len(disagreements),
            clear=int(clear),
            sequence_id=first["sequence_id"],
            position=first["position"],
            margin=first["margin"],
        )
    # A sequence without a clear position says nothing and is no unit of the bootstrap.
    counted = counts[counts[:, 1] > 0]
    interval = bootstrap_ratio(*counted.T) or wilson(int(agreed), int(clear))
    return Estimate(float(agreed / clear), "share", len(counted), interval, details)


@metric(
    "kl",
    needs=both_on_baseline,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=("mean",),
    info=("edges",),
)
def kl(*, npu: Measurement[ScoredSequence], gpu: Measurement[ScoredSequence]) -> Estimate:
    """Mean over positions of KL(GPU || NPU) in nats, as ``mean_divergence`` gives it."""
    return mean_divergence(npu, gpu)


@metric(
    "baseline_kl",
    needs=cpu_on_baseline,
    condition=CPU,
    baseline=True,
    statistics=("mean",),
    info=("edges",),
)
def baseline_kl(*, gpu: Measurement[ScoredSequence], cpu: Measurement[ScoredSequence]) -> Estimate:
    """Mean over positions of KL(CPU || GPU) in nats, over the sequences that the CPU scored."""
    return mean_divergence(cut_to(gpu, cpu), cpu)


def mean_divergence(tested: Measurement[ScoredSequence], reference: Measurement[ScoredSequence]) -> Estimate:
    """Mean over all positions of ``divergence``; n sequences, BCa bootstrap over sequences.

    Details: ``positions``, ``p99``, ``max``, ``worst`` (sequence and its mean), ``sequences`` (id ->
    mean), ``by_position``, ``by_margin`` tables, ``left_out``.
    """
    pairs = scored_pairs(tested, reference)
    for ours, theirs in pairs:
        refuse_short_lists(ours, tested.device)
        refuse_short_lists(theirs, reference.device)
    per_sequence = [divergence(theirs.top, ours.top) for ours, theirs in pairs]
    values = np.concatenate(per_sequence)
    means = {
        theirs.sequence_id: float(each.mean()) for (_, theirs), each in zip(pairs, per_sequence, strict=True)
    }
    worst = max(means, key=lambda key: means[key])
    margins = np.concatenate([_margins(theirs.top) for _, theirs in pairs])
    interval = bootstrap_ratio([each.sum() for each in per_sequence], [len(each) for each in per_sequence])
    details: dict[str, Json] = {
        "positions": len(values),
        "p99": float(np.quantile(values, 0.99)),
        "max": float(values.max()),
        "worst": {"sequence_id": worst, "mean": means[worst]},
        "sequences": means,
        "by_position": _table(_answer_positions(pairs), _POSITION_EDGES, kl=values),
        "by_margin": _table(margins, _MARGIN_EDGES, kl=values),
        "left_out": dict(reference.left_out),
        "finding": say("largest in {worst} with a mean of {means:.3g} nat", worst=worst, means=means[worst]),
    }
    return Estimate(float(values.mean()), "nat", len(pairs), interval, details)


@dataclass(frozen=True, slots=True, eq=False)
class _Agreement:
    """One sequence: per position whether the first tokens agree, the reference's margin, both tokens."""

    agrees: BoolArray
    clear: BoolArray
    margins: FloatArray
    tested: npt.NDArray[np.int32]
    reference: npt.NDArray[np.int32]


def _agreement(ours: ScoredSequence, theirs: ScoredSequence, tested: str, reference: str) -> _Agreement:
    refuse_short_lists(ours, tested)
    refuse_short_lists(theirs, reference)
    margins = _margins(theirs.top)
    first, baseline_first = ours.top.ids[:, 0], theirs.top.ids[:, 0]
    return _Agreement(first == baseline_first, margins > CLEAR_MARGIN, margins, first, baseline_first)


def _disagreements(item: ScoredSequence, table: _Agreement) -> list[Json]:
    return [
        {
            "sequence_id": item.sequence_id,
            "position": item.first + int(at),
            "npu_token": int(table.tested[at]),
            "gpu_token": int(table.reference[at]),
            "margin": float(table.margins[at]),
        }
        for at in np.flatnonzero(table.clear & ~table.agrees)
    ]


def _margins(top: TopLogprobs) -> FloatArray:
    return top.logprobs[:, 0].astype(np.float64) - top.logprobs[:, 1]


def _answer_positions(pairs: Sequence[tuple[ScoredSequence, ScoredSequence]]) -> FloatArray:
    return np.concatenate([np.arange(len(item.logprobs), dtype=np.float64) for _, item in pairs])


def _table(keys: FloatArray, edges: Sequence[float], **columns: FloatArray) -> list[Json]:
    """Means of columns over positions grouped by key: one row a group, from an edge to the next."""
    groups = np.digitize(keys, edges) - 1
    rows: list[Json] = []
    for group, start in enumerate(edges):
        inside = groups == group
        if inside.any():
            end = edges[group + 1] if group + 1 < len(edges) else None
            means = {name: float(column[inside].mean()) for name, column in columns.items()}
            rows.append({"from": start, "to": end, "positions": int(inside.sum()), **means})
    return rows
