"""Teacher forcing: both devices score the same tokens, so one early fork cannot hide what follows.

A position's distribution is known by its top list: here the baseline's first TOP tokens and one
bucket for the rest of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_gptoss.errors import InsufficientData
from pytest_gptoss.judge.evidence import answer_ids, cut_to, pair, scored_pairs
from pytest_gptoss.judge.intervals import bootstrap_ratio
from pytest_gptoss.records import (
    Estimate,
    Generation,
    Json,
    Measurement,
    ScoredSequence,
    TopLogprobs,
)

__all__ = [
    "CLEAR_MARGIN",
    "TOP",
    "WINDOW",
    "baseline_kl",
    "decode_prefill",
    "divergence",
    "forced_agreement",
    "kl",
    "mean_divergence",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

TOP = 20
"""Tokens of the reference's list that count one by one; vLLM lists no more by default."""
CLEAR_MARGIN = 0.5
"""Nats between the reference's first two tokens, above which rounding cannot turn the choice."""
WINDOW = 128
"""GPT-OSS's sliding window: faults of window, sinks and cache show only behind it."""

_LEAST = 1e-7
"""Probability below which what a top list leaves over is float32 rounding."""
_NEVER = 1e-300
"""Stands for a probability that float64 cannot hold."""
_BISECTIONS = 50
_POSITION_EDGES = (0, 16, 32, 64, 128, 256, 512, 1024)
_MARGIN_EDGES = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0)


def forced_agreement(*, npu: Measurement[ScoredSequence], gpu: Measurement[ScoredSequence]) -> Estimate:
    """Share of clear positions where both devices' most likely token is the same.

    A position is clear when the GPU's first token leads its second by more than CLEAR_MARGIN nats.
    n sequences; BCa bootstrap over sequences. Details: ``clear_positions``, ``positions``,
    ``disagreements`` (sequence, position in it, both tokens, margin), ``by_position`` and
    ``by_margin`` tables over all positions, ``left_out``.
    """
    pairs = scored_pairs(npu, gpu)
    tables = [_agreement(ours, theirs, npu.device, gpu.device) for ours, theirs in pairs]
    counts = np.array([[each.agrees[each.clear].sum(), each.clear.sum()] for each in tables], dtype=float)
    agreed, clear = counts.sum(axis=0)
    if not clear:
        raise InsufficientData(
            f"{gpu.device}: at none of its {sum(len(each.agrees) for each in tables)} positions does the "
            f"first token lead by more than {CLEAR_MARGIN} nat: use other prompts, or check the baseline"
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
        details["finding"] = (
            f"{len(disagreements)} of {int(clear)} clear positions disagree, first {first['sequence_id']} at "
            f"position {first['position']}, margin {first['margin']:.2f} nat"
        )
    # A sequence without a clear position says nothing and is no unit of the bootstrap.
    counted = counts[counts[:, 1] > 0]
    return Estimate(float(agreed / clear), "share", len(counted), bootstrap_ratio(*counted.T), details)


def kl(*, npu: Measurement[ScoredSequence], gpu: Measurement[ScoredSequence]) -> Estimate:
    """Mean over positions of KL(GPU || NPU) in nats, as ``mean_divergence`` gives it."""
    return mean_divergence(npu, gpu)


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
        _refuse_short_lists(ours, tested.device)
        _refuse_short_lists(theirs, reference.device)
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
        "finding": f"largest in {worst} with a mean of {means[worst]:.3g} nat",
    }
    return Estimate(float(values.mean()), "nat", len(pairs), interval, details)


def divergence(reference: TopLogprobs, tested: TopLogprobs) -> FloatArray:
    """KL(reference || tested) in nats at each of T positions, from top lists; shape [T], never negative.

    Buckets: each of the reference's first TOP tokens, and one for all others, of probability 1 minus
    the rest. Where the tested list lacks a token, that list still bounds it: it is no likelier than
    the last one listed, and all unlisted tokens together have what the list leaves over. Of
    all distributions within these bounds the one nearest to the reference is taken. The figure is thus
    the least divergence that both lists allow, and exact where the tested list lacks nothing; yet a
    likely token that the tested device does not even list costs many nats.

    S. Kullback and R. A. Leibler, "On information and sufficiency", Ann. Math. Stat. 22 (1951) 79-86.
    """
    ids, p_listed = reference.ids[:, :TOP], _probabilities(reference)[:, :TOP]
    q_listed = _probabilities(tested)
    same = (ids[:, :, np.newaxis] == tested.ids[:, np.newaxis, :]) & (ids >= 0)[:, :, np.newaxis]
    found = same.any(axis=2)
    q_found = np.einsum("tij,tj->ti", same, q_listed)
    p_rest = np.maximum(1 - p_listed.sum(axis=1), _LEAST)
    # Behind the first TOP a list may hold the scored token itself, however unlikely: no bound.
    last_listed = np.where(tested.ids >= 0, q_listed, np.inf)[:, :TOP].min(axis=1)
    q_missing, q_rest = _nearest(
        np.where(found, 0.0, p_listed),
        p_rest,
        most=last_listed,
        listed_elsewhere=np.where(same.any(axis=1), 0.0, q_listed).sum(axis=1),
        left_over=np.maximum(1 - q_listed.sum(axis=1), 0.0),
    )
    p = np.column_stack([p_listed, p_rest])
    q = np.column_stack([np.where(found, q_found, q_missing), q_rest])
    p /= p.sum(axis=1, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
    terms = np.zeros_like(p)
    np.multiply(p, np.log(p, where=p > 0, out=terms) - np.log(np.maximum(q, _NEVER)), where=p > 0, out=terms)
    result: FloatArray = np.maximum(terms.sum(axis=1), 0.0)
    return result


def _nearest(
    p_missing: FloatArray,
    p_rest: FloatArray,
    *,
    most: FloatArray,
    listed_elsewhere: FloatArray,
    left_over: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Share ``left_over`` [T] among missing tokens [T, k] and the rest [T], as near to p as bounds allow.

    The nearest distribution is a multiple of p cut at the bounds: at ``most`` for a token, at not less
    than ``listed_elsewhere`` for the rest. The multiple is found by bisection of its logarithm.
    """

    def shared(multiple: FloatArray) -> tuple[FloatArray, FloatArray]:
        tokens = np.minimum(multiple[:, np.newaxis] * p_missing, most[:, np.newaxis])
        return tokens, np.maximum(multiple * p_rest, listed_elsewhere)

    low, high = np.full_like(p_rest, np.log(_LEAST)), -np.log(p_rest) + 1
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        tokens, rest = shared(np.exp(middle))
        too_much = tokens.sum(axis=1) + rest - listed_elsewhere > left_over
        low, high = np.where(too_much, low, middle), np.where(too_much, middle, high)
    tokens, rest = shared(np.exp(high))
    floor = np.where(p_missing > 0, np.minimum(_LEAST, most[:, np.newaxis]), 0.0)
    return np.maximum(tokens, floor), np.maximum(rest, _LEAST)


def decode_prefill(*, generated: Measurement[Generation], forced: Measurement[ScoredSequence]) -> Estimate:
    """One server against itself: log-probabilities while generating against those of a prefill.

    The figure is the worst prompt's mean |difference| over the same token ids, in nats; no interval.
    Raises InsufficientData when no answer reaches past position WINDOW of its sequence: then the row
    would not show what it is for. Details: ``worst``, ``prompts`` (id -> mean, tokens), ``within`` and
    ``past`` the window (positions, mean, max, worst prompt), ``left_out``.
    """
    pairs = _own_pairs(generated, forced)
    gaps = {
        item.sequence_id: np.abs(_logprobs(answer, generated.device) - item.logprobs)
        for answer, item in pairs
    }
    behind = {item.sequence_id: np.arange(item.first, len(item.token_ids)) >= WINDOW for _, item in pairs}
    if not any(mask.any() for mask in behind.values()):
        raise InsufficientData(
            f"{generated.device}: none of {len(pairs)} answers reaches past {WINDOW} tokens, where the "
            "sliding window begins to matter: use longer prompts or more max_tokens"
        )
    means = {key: float(gap.mean()) for key, gap in gaps.items()}
    worst = max(means, key=lambda key: means[key])
    details: dict[str, Json] = {
        "worst": worst,
        "prompts": {key: {"mean": means[key], "tokens": len(gap)} for key, gap in gaps.items()},
        "within": _side({key: gap[~behind[key]] for key, gap in gaps.items()}),
        "past": _side({key: gap[behind[key]] for key, gap in gaps.items()}),
        "left_out": dict(forced.left_out),
        "finding": f"worst {worst}, largest difference {gaps[worst].max():.3g} nat at answer token "
        f"{int(gaps[worst].argmax())}",
    }
    return Estimate(means[worst], "nat", len(pairs), details=details)


@dataclass(frozen=True, slots=True, eq=False)
class _Agreement:
    """One sequence: per position whether the first tokens agree, the reference's margin, both tokens."""

    agrees: BoolArray
    clear: BoolArray
    margins: FloatArray
    tested: npt.NDArray[np.int32]
    reference: npt.NDArray[np.int32]


def _agreement(ours: ScoredSequence, theirs: ScoredSequence, tested: str, reference: str) -> _Agreement:
    _refuse_short_lists(ours, tested)
    _refuse_short_lists(theirs, reference)
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


def _refuse_short_lists(item: ScoredSequence, device: str) -> None:
    rows, width = item.top.ids.shape
    if rows != len(item.logprobs) or width < 2 or (item.top.ids[:, :2] < 0).any():
        raise InsufficientData(
            f"{device}: {item.sequence_id} lacks the likeliest tokens of some positions: "
            f"the server must allow prompt_logprobs of {TOP} (--max-logprobs {TOP})"
        )
    if not np.isfinite(item.top.logprobs[item.top.ids >= 0]).all():
        raise InsufficientData(
            f"{device}: {item.sequence_id} lists log-probabilities that are not finite: "
            "look for NaN in the server's log"
        )


def _margins(top: TopLogprobs) -> FloatArray:
    return top.logprobs[:, 0].astype(np.float64) - top.logprobs[:, 1]


def _probabilities(top: TopLogprobs) -> FloatArray:
    listed: FloatArray = np.where(top.ids >= 0, np.exp(top.logprobs.astype(np.float64)), 0.0)
    return listed


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


def _own_pairs(
    generated: Measurement[Generation], forced: Measurement[ScoredSequence]
) -> list[tuple[Generation, ScoredSequence]]:
    """Answers with the scores of the same ids; those the scoring left out by design are left out."""
    pairs = pair(cut_to(generated, forced), forced, "answers")
    accounted = {item.sequence_id for _, item in pairs} | forced.left_out.keys()
    missing = [item.prompt_id for item in generated.items if item.prompt_id not in accounted]
    if missing:
        raise InsufficientData(
            f"{generated.device}: {len(missing)} answers were not scored again, first {missing[0]}: "
            "measure again, to the end"
        )
    for answer, item in pairs:
        if item.token_ids[item.first :] != answer_ids(answer, generated.device):
            raise InsufficientData(
                f"{generated.device}: {item.sequence_id} was scored on other tokens than it generated: "
                "measure again"
            )
    return pairs


def _logprobs(answer: Generation, device: str) -> FloatArray:
    if answer.logprobs is None or len(answer.logprobs) != len(answer_ids(answer, device)):
        raise InsufficientData(
            f"{device} tells no log-probability for every generated token (first {answer.prompt_id}): "
            "serve with logprobs allowed (--max-logprobs above 0)"
        )
    if not np.isfinite(answer.logprobs).all():
        raise InsufficientData(
            f"{device}: log-probabilities of {answer.prompt_id} are not finite: look for NaN in its log"
        )
    return answer.logprobs


def _side(gaps: dict[str, FloatArray]) -> Json:
    """Differences on one side of the window, all prompts together; None when no position lies there."""
    there = {key: gap for key, gap in gaps.items() if len(gap)}
    if not there:
        return None
    values = np.concatenate(list(there.values()))
    return {
        "positions": len(values),
        "mean": float(values.mean()),
        "max": float(values.max()),
        "worst": max(there, key=lambda key: float(there[key].mean())),
    }
