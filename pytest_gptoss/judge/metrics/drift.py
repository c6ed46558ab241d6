"""Position drift: how far two devices' log-probabilities of the same true tokens part with length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.drift_points import Pair, drift_steps, not_compared, paired_points
from pytest_gptoss.judge.intervals import Interval, bootstrap
from pytest_gptoss.judge.metric import metric_family
from pytest_gptoss.judge.needle_cells import read_size
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import DriftPoint, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["position_drift"]

NOTICEABLE = 0.05
"""Nats. Two sound bfloat16 implementations differ by less on average; below it nothing is said to drift."""

FloatArray: TypeAlias = npt.NDArray[np.float64]


@metric_family("position_drift", of=read_size, needs=drift_steps, baseline=True)
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
    pairs = paired_points(npu, gpu)
    spots = _spots(pairs)
    absent = not_compared(npu, gpu, compared=len(pairs))
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


def _spots(pairs: Sequence[Pair]) -> list[_Spot]:
    found: dict[int, list[float]] = {}
    for ours, theirs in pairs:
        found.setdefault(ours.spot, []).append(ours.logprob - theirs.logprob)
    return [_Spot(tokens, np.array(differences)) for tokens, differences in sorted(found.items())]


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
