"""The points of two devices' position drift, side by side: what is measured, compared, and not compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import DriftPoint, Measurement
from pytest_gptoss.model.sentinels import no_logprobs, why_no_logprob
from pytest_gptoss.scenarios.kinds import Drift, Scenario

__all__ = ["Pair", "Points", "drift_steps", "not_compared", "paired_points"]

Points: TypeAlias = Sequence[Measurement[DriftPoint]]
"""A device's scenarios from the shortest to the longest."""
Pair: TypeAlias = tuple[DriftPoint, DriftPoint]
"""One point as the NPU and as the GPU has it."""


def drift_steps(roles: Roles, longest: int) -> Mapping[str, Scenario]:
    """Drift up to a length in steps, from one needle length of the run to the next, which cells share."""
    lengths = sorted({0, longest, *(each for each in roles.needle_lengths if each <= longest)})
    return {
        f"{role}_{length}": Drift(device, above, length)
        for role, device in (("npu", roles.subject), ("gpu", gpu_of(roles)))
        for above, length in pairwise(lengths)
    }


def paired_points(npu: Points, gpu: Points) -> list[Pair]:
    """The points that both devices have, by position.

    Raises InsufficientData where a log-probability is none, and where the texts differ.
    """
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


def not_compared(npu: Points, gpu: Points, *, compared: int) -> str | None:
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
