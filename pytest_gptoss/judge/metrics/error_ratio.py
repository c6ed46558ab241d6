"""The error ratio: how far the device is from the FP32 reference, over how far the baseline is from it.

Ascend's operator precision standard compares an NPU and a third-party chip with a CPU golden in this way and
allows operators of language models (level L1) a ratio of mean errors of 1.5. Here a served model is judged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.comparison import SAME_INPUTS, cpu_on_baseline, scores_of_answers
from pytest_gptoss.judge.conditions import CPU
from pytest_gptoss.judge.evidence import cut_to, scored_pairs
from pytest_gptoss.judge.facts import FactBook, Stated
from pytest_gptoss.judge.log_ratio import log_ratio_interval
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, cpu_of, gpu_of
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Preflight, Scenario

__all__ = ["EXACT_NAT", "WINDOW", "error_ratio"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Scores = Measurement[ScoredSequence]

EXACT_NAT = 5e-6
"""Mean error in nats below which a baseline has no rounding to compare with: it is FP32 itself."""
WINDOW = 128
"""Tokens in GPT-OSS's sliding window; positions beyond it rest on every other layer's full attention."""
PARTS: Mapping[str, str] = {
    each: each
    for each in (
        say("positions up to 128"), say("positions beyond 128"), say("common tokens"), say("rare tokens"),
    )
}  # fmt: skip
"""The parts of a text as messages call them."""
_FP32 = ("float32", "float", "fp32")
_BY_CHECKPOINT = "auto"
"""What vLLM's option says where the checkpoint's own type is taken, which it does not name."""
_TOGETHER = 0.1
"""Device and baseline this much nearer to each other than to the reference: the reference is the odd one."""


def _all_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    return {
        "npu": scores_of_answers(gpu_of(roles), roles, scored_by=roles.subject),
        **cpu_on_baseline(roles),
        "reference": Preflight(cpu_of(roles)),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """One sequence, position by position [n]: both devices' absolute errors and their distance, in nats."""

    sequence_id: str
    tested: FloatArray
    baseline: FloatArray
    apart: FloatArray
    positions: npt.NDArray[np.int64]
    tokens: tuple[int, ...]


@metric(
    "error_ratio",
    needs=_all_on_baseline,
    condition=CPU,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=("ratio of means",),
    info=("hidden_error_ratio",),
    context=("stated",),
)
def error_ratio(
    *,
    npu: Scores,
    gpu: Scores,
    cpu: Scores,
    reference: Measurement[ServerFacts],
    stated: Stated,
) -> Estimate:
    """Mean |log p(token) - log p_CPU(token)| of the device over the same of the baseline.

    Over the tokens of those of the baseline's answers that the CPU scored, teacher-forced on all three. n
    sequences; interval: ``log_ratio_interval`` over sequences.

    Raises ConditionAbsent for a baseline that is as exact as the reference (EXACT_NAT), InsufficientData
    where the reference is less exact than what it shall judge, or sequences do not match.

    Details: ``positions``; ``mean``, ``rmse``, ``largest`` error in nats by role; ``rmse_ratio`` and
    ``largest_ratio`` (told, not judged: a few positions decide them); ``where``: the ratio at positions up to
    WINDOW and beyond, and of common and rare tokens; ``sequences`` (id -> ratio); ``left_out``.
    """
    _refuse_rounded_reference(reference, stated)
    sequences = _errors(cut_to(npu, cpu), cut_to(gpu, cpu), cpu)
    tested, baseline = (
        np.concatenate([getattr(each, side) for each in sequences]) for side in ("tested", "baseline")
    )
    means = float(tested.mean()), float(baseline.mean())
    if means[1] < EXACT_NAT:
        raise ConditionAbsent(
            say(
                "the baseline's own mean error is {mean:.2g} nat, below {exact:g}: it computes as exactly "
                "as the reference, and there is no rounding to compare with",
                mean=means[1],
                exact=EXACT_NAT,
            )
        )
    _refuse_odd_reference(sequences, means, cpu.device)
    ratio = means[0] / means[1]
    details: dict[str, Json] = {
        "positions": len(tested),
        "mean": {"npu": means[0], "gpu": means[1]},
        "rmse": {"npu": _rms(tested), "gpu": _rms(baseline)},
        "largest": {"npu": float(tested.max()), "gpu": float(baseline.max())},
        "rmse_ratio": _rms(tested) / _rms(baseline),
        "largest_ratio": float(tested.max() / baseline.max()),
        "where": _where(sequences, tested, baseline),
        "sequences": {each.sequence_id: _ratio(each.tested, each.baseline) for each in sequences},
        "left_out": dict(cpu.left_out),
    }
    details["finding"] = _finding(details, npu.device, gpu.device)
    interval = log_ratio_interval(
        [each.tested.sum() for each in sequences], [each.baseline.sum() for each in sequences]
    )
    return Estimate(ratio, "times", len(sequences), interval, details)


def _errors(npu: Scores, gpu: Scores, cpu: Scores) -> list[_Errors]:
    baseline = {theirs.sequence_id: theirs for _, theirs in scored_pairs(npu, gpu)}
    # The CPU scores its sequences in an order of its own.
    return [_errors_of(ours, baseline[exact.sequence_id], exact) for ours, exact in scored_pairs(npu, cpu)]


def _errors_of(ours: ScoredSequence, theirs: ScoredSequence, exact: ScoredSequence) -> _Errors:
    return _Errors(
        exact.sequence_id,
        np.abs(ours.logprobs - exact.logprobs),
        np.abs(theirs.logprobs - exact.logprobs),
        np.abs(ours.logprobs - theirs.logprobs),
        np.arange(exact.first, len(exact.token_ids)),
        exact.token_ids[exact.first :],
    )


def _refuse_rounded_reference(reference: Measurement[ServerFacts], stated: Stated) -> None:
    """Raise InsufficientData for a reference that computes in another type than FP32, or in one nobody knows.

    Its own rounding would stand in both errors and draw every ratio towards 1. Their figures do not show it:
    what device and baseline have in common looks the same.
    """
    server = reference.items[0] if reference.items else None
    dtype = FactBook.of(reference.device, server, stated).get("dtype")
    name = "" if dtype is None else dtype.value.rpartition(".")[2].lower()
    if dtype is None or name == _BY_CHECKPOINT:
        raise InsufficientData(
            say(
                "{device} does not tell its dtype, and in another one than FP32 its rounding would hide the "
                "device's: serve it with --dtype float32, and state it with --gptoss-info "
                "{device}.dtype=float32 or start it with VLLM_SERVER_DEV_MODE=1",
                device=reference.device,
            )
        )
    if name not in _FP32:
        raise InsufficientData(
            say(
                "{device} computes in {dtype} ({source}), and its rounding would hide the device's: serve "
                "the reference with --dtype float32",
                device=reference.device,
                dtype=dtype.value,
                source=dtype.source,
            )
        )


def _refuse_odd_reference(sequences: Sequence[_Errors], means: tuple[float, float], cpu: str) -> None:
    """Raise InsufficientData where both devices agree with each other and neither with the reference.

    Devices that give the very same figures are one computation, and say nothing about the reference.
    """
    apart = np.concatenate([each.apart for each in sequences])
    if np.count_nonzero(apart) > len(apart) / 2 and float(apart.mean()) < _TOGETHER * min(means):
        raise InsufficientData(
            say(
                "{cpu} is {far:.2g} nat from both devices, which are {near:.2g} nat from each other: the "
                "reference is less exact than what it shall judge, or computes something else; serve it in "
                "FP32 from the same weights",
                cpu=cpu,
                far=min(means),
                near=float(apart.mean()),
            )
        )


def _where(sequences: Sequence[_Errors], tested: FloatArray, baseline: FloatArray) -> list[Json]:
    """The ratio in parts of the text, so that a reader sees where the excess lies."""
    positions = np.concatenate([each.positions for each in sequences])
    tokens = [token for each in sequences for token in each.tokens]
    common = np.isin(tokens, list(_common(tokens)))
    groups: dict[str, BoolArray] = {
        "positions up to 128": positions < WINDOW,
        "positions beyond 128": positions >= WINDOW,
        "common tokens": common,
        "rare tokens": ~common,
    }
    return [
        {"part": part, "positions": int(inside.sum()), "ratio": _ratio(tested[inside], baseline[inside])}
        for part, inside in groups.items()
    ]


def _common(tokens: Sequence[int]) -> set[int]:
    """The most frequent tokens, which together make up half of a text; equally frequent ones by their id."""
    found: set[int] = set()
    covered = 0
    for token, count in sorted(Counter(tokens).items(), key=lambda pair: (-pair[1], pair[0])):
        if 2 * covered >= len(tokens):
            break
        found.add(token)
        covered += count
    return found


def _ratio(tested: FloatArray, baseline: FloatArray) -> float | None:
    """The ratio of two sums of errors; None where the baseline has none."""
    ours, theirs = math.fsum(tested), math.fsum(baseline)
    return ours / theirs if theirs else None


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values * values)))


def _finding(details: Mapping[str, Json], tested: str, baseline: str) -> str:
    means = details["mean"]
    parts = [each for each in details["where"] if each["ratio"] is not None]
    worst = max(parts, key=lambda each: each["ratio"])
    return say(
        "mean error against the FP32 reference {npu_error:.3g} nat on {npu}, {gpu_error:.3g} nat on {gpu}; "
        "largest ratio {ratio:.3g} at {part}",
        npu_error=means["npu"],
        npu=tested,
        gpu_error=means["gpu"],
        gpu=baseline,
        ratio=worst["ratio"],
        part=PARTS[worst["part"]],
    )
