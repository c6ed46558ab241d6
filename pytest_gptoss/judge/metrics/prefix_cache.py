"""Whether answers from the prefix cache are those that the device gives without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pytest_gptoss.judge.comparison import scores_of_answers
from pytest_gptoss.judge.confirmation import confirmed, refuse_few
from pytest_gptoss.judge.evidence import first_difference, probed, refuse_no_logprobs, sound_items
from pytest_gptoss.judge.intervals import bootstrap_ratio
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import CachedPrefix, Scenario
from pytest_gptoss.scenarios.kinds.prefix import CACHED, COLD, LEAST_CACHED

__all__ = ["prefix_cache", "prefix_cache_drift"]


def _asked(roles: Roles) -> Mapping[str, Scenario]:
    return {"asked": CachedPrefix(roles.subject)}


def _asked_and_quiet(roles: Roles) -> Mapping[str, Scenario]:
    return {**_asked(roles), "quiet": scores_of_answers(roles.subject, roles, scored_by=roles.subject)}


@metric("prefix_cache", needs=_asked_and_quiet, statistics=("rate",))
def prefix_cache(*, asked: Measurement[StressAnswer], quiet: Measurement[ScoredSequence]) -> Estimate:
    """Share of answers from the prefix cache that the device confirms when asked quietly: ``confirmation``.

    An answer under a cache salt of its own whose prompt came from the cache all the same counts as one more
    that is not confirmed. Raises ConditionAbsent where most prompts did not come from the cache, and
    InsufficientData where fewer than half of the answers were scored. Details: as ``confirmed``, and
    ``salts_ignored``, the number of such answers.
    """
    served = _served(asked)
    refuse_few(asked, asked.left_out)
    found = confirmed(dataclasses.replace(asked, items=served), quiet, kind=CACHED)
    ignored = [each for each in _of_kind(asked, COLD) if each.cached_tokens]
    details = {**found.details, "salts_ignored": len(ignored)}
    if not ignored:
        return dataclasses.replace(found, details=details)
    of = found.n + len(ignored)
    details["finding"] = joined([_salt_ignored(asked.device, ignored), str(found.details["finding"])])
    return dataclasses.replace(found, value=found.value * found.n / of, n=of, details=details)


@metric("prefix_cache_drift", needs=_asked, statistics=("mean",))
def prefix_cache_drift(*, asked: Measurement[StressAnswer]) -> Estimate:
    """Mean absolute difference of the generated tokens' log-probabilities, cold against cached, in nats.

    Over the tokens of each question up to where its two answers fork; bootstrap over the questions. Raises
    as ``prefix_cache`` does, and InsufficientData without log-probabilities or where all fork at once.
    Details: ``positions``, ``worst`` (question, token, difference) and the finding.
    """
    pairs = _pairs(_of_kind(asked, COLD), _served(asked))
    _refuse_without_logprobs(asked, [each for both in pairs for each in both])
    gaps = {cached.sequence_id: _gaps(cold, cached) for cold, cached in pairs}
    sums, counts = [gap.sum() for gap in gaps.values()], [len(gap) for gap in gaps.values()]
    if not sum(counts):
        raise InsufficientData(
            say(
                "{device}: the answers from the prefix cache have no token in common with those without it, "
                "so there is nothing to compare: see stress.prefix_cache",
                device=asked.device,
            )
        )
    worst = max((key for key in gaps if len(gaps[key])), key=lambda key: float(gaps[key].max()))
    token, largest = int(gaps[worst].argmax()), float(gaps[worst].max())
    details = {
        "positions": sum(counts),
        "worst": {"answer": worst, "token": token, "difference": largest},
        "finding": say(
            "worst {worst}, largest difference {gap:.3g} nat at answer token {token}",
            worst=worst,
            gap=largest,
            token=token,
        ),
    }
    return Estimate(float(sum(sums) / sum(counts)), "nat", len(pairs), bootstrap_ratio(sums, counts), details)


def _of_kind(asked: Measurement[StressAnswer], kind: str) -> tuple[StressAnswer, ...]:
    """The answers of a kind; raises InsufficientData where there is none."""
    answers = tuple(each for each in sound_items(asked, "answers") if each.kind == kind)
    return sound_items(dataclasses.replace(asked, items=answers), "answers")


def _served(asked: Measurement[StressAnswer]) -> tuple[StressAnswer, ...]:
    """The answers whose prompts came from the cache; raises ConditionAbsent where most did not."""
    answers = _of_kind(asked, CACHED)
    if all(each.cached_tokens is None for each in answers):
        advice = probed(asked, "metrics", say("serve with --enable-prompt-tokens-details"))
        raise ConditionAbsent(say("the server tells no prefix-cache hits: {advice}", advice=advice))
    served = tuple(each for each in answers if (each.cached_tokens or 0) >= LEAST_CACHED)
    if 2 * len(served) <= len(answers):
        raise ConditionAbsent(
            say(
                "{device} took {least} prompt tokens or more from its prefix cache for {served} of {answers} "
                "answers: serve with --enable-prefix-caching and room for it in the KV cache",
                device=asked.device,
                least=LEAST_CACHED,
                served=len(served),
                answers=len(answers),
            )
        )
    return served


def _pairs(
    cold: Sequence[StressAnswer], cached: Sequence[StressAnswer]
) -> list[tuple[StressAnswer, StressAnswer]]:
    """Answers to the same prompts."""
    by_prompt = {each.token_ids[: each.first]: each for each in cold}
    found = [(by_prompt.get(each.token_ids[: each.first]), each) for each in cached]
    return [(one, other) for one, other in found if one is not None]


def _gaps(cold: StressAnswer, cached: StressAnswer) -> FloatArray:
    """Differences of the log-probabilities of the tokens that both answers begin with."""
    upto = first_difference(cold.token_ids[cold.first :], cached.token_ids[cached.first :])
    if cold.generated is None or cached.generated is None:
        return np.zeros(0)
    found: FloatArray = np.abs(cold.generated[:upto] - cached.generated[:upto])
    return found


def _refuse_without_logprobs(asked: Measurement[StressAnswer], answers: Sequence[StressAnswer]) -> None:
    """Raise InsufficientData unless each answer came with log-probabilities that were computed."""
    device, told = asked.device, [each.generated for each in answers if each.generated is not None]
    if not answers or len(told) < len(answers):
        lacking = next((each.sequence_id for each in answers if each.generated is None), CACHED)
        advice = probed(asked, "logprobs", say("serve with logprobs allowed (--max-logprobs above 0)"))
        raise InsufficientData(
            say(
                "{device} tells no log-probability for every generated token (first {prompt_id}): {advice}",
                device=device,
                prompt_id=lacking,
                advice=advice,
            )
        )
    refuse_no_logprobs(np.concatenate(told), None, say("answers"), device)


def _salt_ignored(device: str, ignored: Sequence[StressAnswer]) -> str:
    return say(
        "{device} took {tokens} prompt tokens of {answers} answers from its prefix cache, though each has a "
        "cache_salt of its own: it ignores salts, or others use this server",
        device=device,
        tokens=sum(each.cached_tokens or 0 for each in ignored),
        answers=len(ignored),
    )
