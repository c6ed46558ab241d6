"""Position drift: how far two devices' log-probabilities of the same true tokens part with length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.intervals import Interval, bootstrap
from pytest_gptoss.judge.metric import metric_family
from pytest_gptoss.judge.needle_cells import read_size
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import DriftPoint, Measurement
from pytest_gptoss.model.sentinels import no_logprobs, why_no_logprob
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Drift, Scenario

__all__ = ["position_drift"]

NOTICEABLE = 0.05
"""Nats. Two sound bfloat16 implementations differ by less on average; below it nothing is said to drift."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
Points: TypeAlias = Sequence[Measurement[DriftPoint]]
Pair: TypeAlias = tuple[DriftPoint, DriftPoint]


def _steps(roles: Roles, longest: int) -> Mapping[str, Scenario]:
    """Drift up to a length in steps, from one needle length of the run to the next, which cells share."""
    lengths = sorted({0, longest, *(each for each in roles.needle_lengths if each <= longest)})
    return {
        f"{role}_{length}": Drift(device, above, length)
        for role, device in (("npu", roles.subject), ("gpu", gpu_of(roles)))
        for above, length in pairwise(lengths)
    }


@metric_family("position_drift", of=read_size, needs=_steps, baseline=True)
def position_drift(**segments: Measurement[DriftPoint]) -> Estimate:
    """Slope of the absolute difference over the length: nats for each doubling of the prefix. Never judged.

    ``segments`` are both devices' scenarios from the shortest to the longest, named ``npu_LENGTH`` and
    ``gpu_LENGTH``. The interval is a bootstrap over spots. What only one device has is counted, not
    compared. Details: ``spots`` (``tokens``, ``n``, mean absolute and mean difference, NPU less GPU),
    ``points``, ``reach`` (the longest spot), ``near`` and ``far`` (mean absolute difference over the shorter
    and the longer half of the spots), ``grows``, ``absent`` and the finding in words.

    Raises InsufficientData when fewer than two spots can be compared, or the texts differ.
    """
    npu = [each for name, each in segments.items() if name.startswith("npu_")]
    gpu = [each for name, each in segments.items() if name.startswith("gpu_")]
    pairs = _pairs(npu, gpu)
    spots = _spots(pairs)
    absent = _absent(npu, gpu, compared=len(pairs))
    if len(spots) < 2:
        raise InsufficientData(
            say(
                "{spots} lengths of text can be compared, two is the least: {advice}",
                spots=len(spots),
                advice=absent or say("raise the length"),
            )
        )
    trend = _trend(spots)
    finding = say(
        "position drift of {device} from {other}: {trend}",
        device=npu[0].device,
        other=gpu[0].device,
        trend=trend.in_words(),
    )
    details: dict[str, Json] = {
        "reach": spots[-1].tokens,
        "near": trend.near,
        "far": trend.far,
        "grows": trend.grows,
        "spots": [spot.row() for spot in spots],
        "points": [
            {"position": ours.position, "token": ours.token, "npu": ours.logprob, "gpu": theirs.logprob}
            for ours, theirs in pairs
        ],
        "absent": absent,
        "finding": joined([finding, absent] if absent else [finding]),
    }
    return Estimate(trend.slope, "nat a doubling", len(pairs), trend.interval, details)


# -- spots --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """The differences at one length of text, NPU less GPU, in nats."""

    tokens: int
    differences: FloatArray

    @property
    def apart(self) -> float:
        return float(np.abs(self.differences).mean())

    def row(self) -> dict[str, Json]:
        return {
            "tokens": self.tokens,
            "n": len(self.differences),
            "mean_abs": self.apart,
            "mean": float(self.differences.mean()),
        }


def _pairs(npu: Points, gpu: Points) -> list[Pair]:
    ours, theirs = _by_position(npu), _by_position(gpu)
    pairs = [(ours[at], theirs[at]) for at in sorted(ours.keys() & theirs.keys())]
    for left, right in pairs:
        if left.text_sha256 != right.text_sha256:
            raise InsufficientData(
                say(
                    "{device} and {other} were given different texts, seen at position "
                    "{position}: their tokenizers differ, or the baseline was recorded with another "
                    "--gptoss-seed or needle",
                    device=npu[0].device,
                    other=gpu[0].device,
                    position=left.position,
                )
            )
    return pairs


def _by_position(segments: Points) -> Mapping[int, DriftPoint]:
    for segment in segments:
        for point in segment.items:
            if no_logprobs(np.float64(point.logprob)):
                raise InsufficientData(
                    say(
                        "{device}: the log-probability at position {position} is {logprob:.6g}: {why}",
                        device=segment.device,
                        position=point.position,
                        logprob=point.logprob,
                        why=why_no_logprob(point.logprob),
                    )
                )
    return {point.position: point for segment in segments for point in segment.items}


def _spots(pairs: Sequence[Pair]) -> list[_Spot]:
    found: dict[int, list[float]] = {}
    for ours, theirs in pairs:
        found.setdefault(ours.spot, []).append(ours.logprob - theirs.logprob)
    return [_Spot(tokens, np.array(differences)) for tokens, differences in sorted(found.items())]


def _absent(npu: Points, gpu: Points, *, compared: int) -> str | None:
    """How many points could not be compared and the first reason; None when all were."""
    asked = max(sum(map(_asked, npu)), sum(map(_asked, gpu)))
    if asked == compared:
        return None
    both = (*npu, *gpu)
    reasons = [failure.message for segment in both for failure in segment.failures]
    reasons += [reason for segment in both for reason in segment.left_out.values()]
    reasons += [
        say("{device}: measuring stopped early", device=segment.device)
        for segment in both
        if not segment.complete
    ]
    why = f": {reasons[0]}" if reasons else ""
    return say(
        "{missing} of {asked} points are not compared{why}", missing=asked - compared, asked=asked, why=why
    )


def _asked(segment: Measurement[DriftPoint]) -> int:
    failed = sum(failure.item_id != "*" for failure in segment.failures)
    return len(segment.items) + failed + len(segment.left_out)


# -- the trend ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trend:
    """Nats: ``slope`` a doubling, mean distance over the shorter (``near``) and the longer half of spots."""

    slope: float
    interval: Interval | None
    near: float
    far: float
    until: int
    reach: int

    @property
    def grows(self) -> bool:
        return self.interval is not None and self.interval[0] > 0 and self.far >= NOTICEABLE

    def in_words(self) -> str:
        sure = "" if self.interval is None else f", 95% {self.interval[0]:.2g}..{self.interval[1]:.2g}"
        if self.grows:
            verdict = say("they part with length: look at YaRN (rope_scaling) and at the cache's positions")
        elif max(self.near, self.far) >= NOTICEABLE:
            verdict = say("they differ, but not for certain more with length")
        else:
            verdict = say("no drift to speak of")
        return say(
            "{near:.2g} nat up to {until} tokens, {far:.2g} beyond, up to {reach} "
            "({slope:.2g} a doubling{sure}): {verdict}",
            near=self.near,
            until=self.until,
            far=self.far,
            reach=self.reach,
            slope=self.slope,
            sure=sure,
            verdict=verdict,
        )


def _trend(spots: Sequence[_Spot]) -> _Trend:
    x = np.log2([spot.tokens for spot in spots])
    y = np.array([spot.apart for spot in spots])
    units = np.stack([np.ones_like(x), x, y, x * x, x * y], axis=1)
    half = len(spots) // 2
    return _Trend(
        slope=float(_slope(units.sum(axis=0, keepdims=True))[0]),
        interval=bootstrap(units, _slope),
        near=float(y[:half].mean()),
        far=float(y[half:].mean()),
        until=spots[half - 1].tokens,
        reach=spots[-1].tokens,
    )


def _slope(sums: FloatArray) -> FloatArray:
    """Least squares from sums of 1, x, y, xx, xy, [m, 5] -> [m]; a resample of one x alone counts as flat."""
    n, x, y, xx, xy = sums.T
    spread = n * xx - x * x
    flat = spread < 1e-9
    slope: FloatArray = np.where(flat, 0.0, (n * xy - x * y) / np.where(flat, 1.0, spread))
    return slope
