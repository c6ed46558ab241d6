"""A device against itself: how often it repeats its own greedy answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_gptoss.judge.comparison import answers
from pytest_gptoss.judge.evidence import answer_ids, cut_to, first_difference, pair
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["noise"]


NOISE_PROMPTS = 16
"""Prompts each device answers again, alone and batched, for its noise floor."""
NOISE_CONCURRENCY = 8
"""Requests at once in the batched part of the noise floor."""


def _repeats(device: str, roles: Roles) -> Mapping[str, Scenario]:
    return {
        "first": answers(device, roles),
        "again": answers(device, roles, repeat=1, limit=NOISE_PROMPTS),
        "batched": answers(device, roles, concurrency=NOISE_CONCURRENCY, limit=NOISE_PROMPTS),
    }


@metric("noise_npu", needs=lambda roles: _repeats(roles.subject, roles))
@metric("noise_gpu", needs=lambda roles: _repeats(gpu_of(roles), roles), baseline=True)
def noise(
    *, first: Measurement[Generation], again: Measurement[Generation], batched: Measurement[Generation]
) -> Estimate:
    """Share of prompts answered the same a second time, one request at a time; Wilson interval.

    ``again`` and ``batched`` (several requests at once) may hold the first prompts only; ``first``
    must hold all of theirs. No device can be asked to match another better than it matches itself.

    Details: ``alone`` and ``batched``, each with ``n``, ``equal``, ``rate``, ``interval``,
    ``matched_prefix`` (min, median) and ``forks`` (prompt id -> index of the first other token).
    """
    alone, together = _against(again, first), _against(batched, first)
    details = {
        "alone": alone,
        "batched": together,
        "finding": say(
            "{device} repeats itself in {alone_equal} of {alone} answers alone, "
            "{batched_equal} of {batched} batched",
            device=first.device,
            alone_equal=alone["equal"],
            alone=alone["n"],
            batched_equal=together["equal"],
            batched=together["n"],
        ),
    }
    return Estimate(alone["rate"], "share", alone["n"], wilson(alone["equal"], alone["n"]), details)


def _against(run: Measurement[Generation], first: Measurement[Generation]) -> dict[str, Json]:
    prefixes: dict[str, int] = {}
    forks: dict[str, int] = {}
    for earlier, later in pair(cut_to(first, run), run, "prompts"):
        left, right = answer_ids(earlier, first), answer_ids(later, run)
        prefixes[later.prompt_id] = first_difference(left, right)
        if left != right:
            forks[later.prompt_id] = prefixes[later.prompt_id]
    n, equal = len(prefixes), len(prefixes) - len(forks)
    return {
        "n": n,
        "equal": equal,
        "rate": equal / n,
        "interval": list(wilson(equal, n)),
        "matched_prefix": {
            "min": min(prefixes.values()),
            "median": float(np.median(list(prefixes.values()))),
        },
        "forks": forks,
    }
