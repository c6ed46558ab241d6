"""Greedy output, token for token: how many answers are equal, and how each other one forks."""

from __future__ import annotations

import numpy as np

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.comparison import SAME_INPUTS, answers_free_and_forced
from pytest_gptoss.judge.evidence import answer_ids, pair, refuse_sameness
from pytest_gptoss.judge.forced_choice import either, forced_answers, forced_match
from pytest_gptoss.judge.forks import KINDS, compare, fork_kinds
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import listed, say
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence
from pytest_gptoss.model.verdicts import FORCED, Estimate

__all__ = ["token_match_rate"]

_RATE = "rate"


@against_first
@metric(
    "token_match_rate",
    needs=answers_free_and_forced,
    depends_on=SAME_INPUTS,
    baseline=True,
    statistics=(_RATE, FORCED),
    info=("noise_npu", "noise_gpu"),
)
def token_match_rate(
    *,
    npu: Measurement[Generation],
    gpu: Measurement[Generation],
    forced: Measurement[ScoredSequence] | None = None,
    statistic: str = _RATE,
) -> Estimate:
    """Share of answers, or with the statistic "forced" of positions, in which both devices agree.

    ``forced`` is the device's scores of the baseline's answers. The other statistic stands beside, as
    ``either`` tells it. "rate" as ``_free`` gives it, "forced" as ``forced_match`` does.
    """
    return either(
        statistic,
        free=(_RATE, lambda: _free(npu, gpu)),
        forced=None if forced is None else lambda: forced_match(forced_answers(forced, gpu), forced.left_out),
    )


def _free(npu: Measurement[Generation], gpu: Measurement[Generation]) -> Estimate:
    """Share of prompts whose output token ids are equal, ids and length; Wilson interval.

    Details: ``position_rate`` (equal ids over the longer answer's length, all prompts together),
    ``matched_prefix`` (min, median, mean tokens before the fork), ``kinds`` of forks, and
    ``prompts``: per prompt what ``forks.compare`` tells.
    """
    pairs = pair(npu, gpu, "prompts")
    answers = [(answer_ids(ours, npu), answer_ids(theirs, gpu)) for ours, theirs in pairs]
    refuse_sameness(
        {theirs.prompt_id: ids for (_, theirs), (_, ids) in zip(pairs, answers, strict=True)}, gpu.device
    )
    prompts = [compare(ours, theirs) for ours, theirs in pairs]
    matches = sum(prompt["match"] for prompt in prompts)
    longest = sum(max(len(left), len(right)) for left, right in answers)
    equal = sum(_equal_positions(left, right) for left, right in answers)
    prefixes = [prompt["prefix"] for prompt in prompts]
    details: dict[str, Json] = {
        "position_rate": equal / longest,
        "matched_prefix": {
            "min": min(prefixes),
            "median": float(np.median(prefixes)),
            "mean": float(np.mean(prefixes)),
        },
        "kinds": fork_kinds(prompts),
        "prompts": prompts,
    }
    if matches < len(pairs):
        details["finding"] = _finding(prompts, details["kinds"])
    return Estimate(matches / len(pairs), "share", len(pairs), wilson(matches, len(pairs)), details)


def _equal_positions(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return sum(left[index] == right[index] for index in range(min(len(left), len(right))))


def _finding(prompts: list[Json], kinds: dict[str, int]) -> str:
    forked = [prompt for prompt in prompts if prompt["fork"]]
    worst = next((prompt for prompt in forked if prompt["fork"]["kind"] == "real"), forked[0])
    fork = worst["fork"]
    counts = listed(
        say("{count} {kind}", count=count, kind=KINDS[kind]) for kind, count in sorted(kinds.items())
    )
    margin = "" if fork["margin"] is None else say(", margin {margin:.2f} nat", margin=fork["margin"])
    return say(
        "{forked} of {prompts} answers fork ({counts}); {prompt_id} at token {index}: {kind}{margin}",
        forked=len(forked),
        prompts=len(prompts),
        counts=counts,
        prompt_id=worst["prompt_id"],
        index=fork["index"],
        kind=KINDS[fork["kind"]],
        margin=margin,
    )
