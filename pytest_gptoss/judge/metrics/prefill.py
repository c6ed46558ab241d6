"""One server against itself: what it computes while generating against what it computes at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.comparison import answers, scores_of_answers
from pytest_gptoss.judge.evidence import answer_ids, cut_to, pair, probed, refuse_no_logprobs
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import SLIDING_WINDOW
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement, ScoredSequence
from pytest_gptoss.model.sentinels import contradicted
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["decode_prefill"]

FloatArray = npt.NDArray[np.float64]


def _npu_on_itself(roles: Roles) -> Mapping[str, Scenario]:
    return {
        "generated": answers(roles.subject, roles),
        "forced": scores_of_answers(roles.subject, roles, scored_by=roles.subject),
    }


@metric("decode_prefill", needs=_npu_on_itself, statistics=("worst prompt mean",))
def decode_prefill(*, generated: Measurement[Generation], forced: Measurement[ScoredSequence]) -> Estimate:
    """One server against itself: log-probabilities while generating against those of a prefill.

    The figure is the worst prompt's mean |difference| over the same token ids, in nats; no interval.
    Raises InsufficientData when no answer reaches past position SLIDING_WINDOW of its sequence: then the row
    would not show what it is for. So it does where an answer's log-probability is not the one that its token
    has among the alternatives: how far that is off is chance. Details: ``worst``, ``prompts`` (id -> mean,
    tokens), ``within`` and ``past`` the window (positions, mean, max, worst prompt), ``left_out``.
    """
    pairs = _own_pairs(generated, forced)
    gaps = {
        item.sequence_id: np.abs(_logprobs(answer, generated) - _scores(item, forced.device))
        for answer, item in pairs
    }
    behind = {
        item.sequence_id: np.arange(item.first, len(item.token_ids)) >= SLIDING_WINDOW for _, item in pairs
    }
    if not any(mask.any() for mask in behind.values()):
        raise InsufficientData(
            say(
                "{device}: none of {pairs} answers reaches past {sliding_window} tokens, where "
                "the sliding window begins to matter: use longer prompts or more max_tokens",
                device=generated.device,
                pairs=len(pairs),
                sliding_window=SLIDING_WINDOW,
            )
        )
    means = {key: float(gap.mean()) for key, gap in gaps.items()}
    worst = max(means, key=lambda key: means[key])
    details: dict[str, Json] = {
        "worst": worst,
        "prompts": {key: {"mean": means[key], "tokens": len(gap)} for key, gap in gaps.items()},
        "within": _side({key: gap[~behind[key]] for key, gap in gaps.items()}),
        "past": _side({key: gap[behind[key]] for key, gap in gaps.items()}),
        "left_out": dict(forced.left_out),
        "finding": say(
            "worst {worst}, largest difference {gap:.3g} nat at answer token {token}",
            worst=worst,
            gap=gaps[worst].max(),
            token=int(gaps[worst].argmax()),
        ),
    }
    return Estimate(means[worst], "nat", len(pairs), details=details)


def _own_pairs(
    generated: Measurement[Generation], forced: Measurement[ScoredSequence]
) -> list[tuple[Generation, ScoredSequence]]:
    """Answers with the scores of the same ids; those the scoring left out by design are left out."""
    pairs = pair(cut_to(generated, forced), forced, "answers")
    accounted = {item.sequence_id for _, item in pairs} | forced.left_out.keys()
    missing = [item.prompt_id for item in generated.items if item.prompt_id not in accounted]
    if missing:
        raise InsufficientData(
            say(
                "{device}: {missing} answers were not scored again, first {first}: measure again, to the end",
                device=generated.device,
                missing=len(missing),
                first=missing[0],
            )
        )
    for answer, item in pairs:
        if item.token_ids[item.first :] != answer_ids(answer, generated):
            raise InsufficientData(
                say(
                    "{device}: {sequence_id} was scored on other tokens than it generated: measure again",
                    device=generated.device,
                    sequence_id=item.sequence_id,
                )
            )
    return pairs


def _logprobs(answer: Generation, generated: Measurement[Generation]) -> FloatArray:
    device = generated.device
    if answer.logprobs is None or len(answer.logprobs) != len(answer_ids(answer, generated)):
        advice = probed(generated, "logprobs", say("serve with logprobs allowed (--max-logprobs above 0)"))
        raise InsufficientData(
            say(
                "{device} tells no log-probability for every generated token (first {prompt_id}): {advice}",
                device=device,
                prompt_id=answer.prompt_id,
                advice=advice,
            )
        )
    refuse_no_logprobs(
        answer.logprobs, answer.top, say("{prompt_id} as generated", prompt_id=answer.prompt_id), device
    )
    wrong = contradicted(answer_ids(answer, generated), answer.logprobs, answer.top)
    if wrong is not None:
        place, other = wrong
        raise InsufficientData(
            say(
                "{device} contradicts itself in {prompt_id}: token {place} has log-probability {value:.6g}, "
                "among the alternatives there {other:.6g}: one of both is another token's; look at what "
                "writes them, the server or a proxy",
                device=device,
                prompt_id=answer.prompt_id,
                place=place,
                value=float(answer.logprobs[place]),
                other=other,
            )
        )
    return answer.logprobs


def _scores(item: ScoredSequence, device: str) -> FloatArray:
    refuse_no_logprobs(
        item.logprobs,
        item.top,
        say("{sequence_id} as scored", sequence_id=item.sequence_id),
        device,
        first=item.first,
    )
    return item.logprobs


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
