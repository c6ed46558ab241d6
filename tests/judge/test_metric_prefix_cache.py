"""Answers from the prefix cache: whether they are confirmed, their drift, and when nothing can be said."""

import dataclasses
import re

import numpy as np
import pytest
from made import failure, measurement, scored, top

from pytest_gptoss.judge.metrics.prefix_cache import prefix_cache, prefix_cache_drift
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.results import StressAnswer

QUIET = measurement("npu", [scored("p1", [-0.1] * 10)])
TOKENS = tuple(range(1, 11))


def answer(kind, number, *, cached=None, deficit=0.0, generated=-0.1, tokens=TOKENS):
    """Ten tokens behind a prompt of two; each lies by ``deficit`` below the likeliest one."""
    rows = [{1: -0.1, 2: -3.0}] * len(tokens)
    return StressAnswer(
        sequence_id=f"{kind}-{number:02d}",
        token_ids=(7, number, *tokens),
        first=2,
        logprobs=np.full(len(tokens), -0.1 - deficit),
        top=top(*rows),
        generated=None if generated is None else generated + np.linspace(0.0, -0.01, len(tokens)),
        kind=kind,
        cached_tokens=cached,
    )


def asked(cached=(), cold=(), **fields):
    """Four questions, asked cold and cached; the given answers take the place of the first ones."""
    ours = [answer("cached", number, cached=1152) for number in range(4)]
    theirs = [answer("cold", number, cached=0) for number in range(4)]
    items = [*theirs[len(cold) :], *cold, *ours[len(cached) :], *cached]
    return measurement("npu", items, **fields)


def test_answers_from_the_cache_are_confirmed():
    found = prefix_cache(asked=asked(), quiet=QUIET)
    assert (found.value, found.n, found.details["salts_ignored"]) == (1.0, 4, 0)


def test_an_answer_of_another_prompts_block_is_not_confirmed():
    found = prefix_cache(asked=asked([answer("cached", 0, cached=1152, deficit=2.0)]), quiet=QUIET)
    assert (found.value, found.n) == (0.75, 4)
    assert "first cached-00, from token 0 on" in found.details["finding"]


def test_an_unconfirmed_cold_answer_is_not_the_caches_fault():
    assert prefix_cache(asked=asked(cold=[answer("cold", 0, deficit=2.0)]), quiet=QUIET).value == 1.0


def test_only_answers_that_came_from_the_cache_count():
    found = prefix_cache(asked=asked([answer("cached", 0, cached=0, deficit=2.0)]), quiet=QUIET)
    assert (found.value, found.n) == (1.0, 3)


def test_a_salt_that_is_ignored_is_a_fault():
    found = prefix_cache(asked=asked(cold=[answer("cold", 0, cached=1152)]), quiet=QUIET)
    assert (found.value, found.n, found.details["salts_ignored"]) == (0.8, 5, 1)
    said = found.details["finding"]
    assert "npu took 1152 prompt tokens of 1 answers from its prefix cache" in said
    assert "it ignores salts" in said


@pytest.mark.parametrize("metric", [lambda asked: prefix_cache(asked=asked, quiet=QUIET),
                                    lambda asked: prefix_cache_drift(asked=asked)])  # fmt: skip
@pytest.mark.parametrize(
    ("cached", "said"),
    [
        (None, "the server tells no prefix-cache hits: serve with --enable-prompt-tokens-details"),
        (0, "1024 prompt tokens or more from its prefix cache for 0 of 4 answers: serve with --enable-pref"),
        (1008, "for 0 of 4 answers"),
    ],
)
def test_without_hits_nothing_is_judged(metric, cached, said):
    nothing = asked([answer("cached", number, cached=cached) for number in range(4)])
    with pytest.raises(ConditionAbsent, match=re.escape(said)):
        metric(nothing)


def test_half_of_the_answers_from_the_cache_are_too_few():
    few = asked([answer("cached", number, cached=0) for number in range(2)])
    with pytest.raises(ConditionAbsent, match="for 2 of 4 answers"):
        prefix_cache(asked=few, quiet=QUIET)


def test_a_few_answers_of_all_questions_are_not_judged():
    unscored = {f"cached-{place}": "no time was left" for place in range(9)}
    with pytest.raises(InsufficientData, match="8 of 17 drawn answers could be scored"):
        prefix_cache(asked=asked(left_out=unscored), quiet=QUIET)


def test_what_failed_or_was_left_out_is_not_judged():
    with pytest.raises(InsufficientData, match="no token within 60 s"):
        prefix_cache(asked=asked(failures=(failure(),)), quiet=QUIET)
    left_out = {"cached-00": "the server did not tell its token ids"}
    cold_alone = [each for each in asked().items if each.kind == "cold"]
    for items in ((), cold_alone):
        nothing = measurement("npu", items, left_out=left_out)
        with pytest.raises(
            InsufficientData, match="no answers to judge: all 1 were left out, first cached-00"
        ):
            prefix_cache(asked=nothing, quiet=QUIET)


def test_drift_is_the_mean_difference_while_generating():
    found = prefix_cache_drift(asked=asked([answer("cached", 0, cached=1152, generated=-0.5)]))
    assert found.value == pytest.approx(0.1)
    assert (found.unit, found.n, found.details["positions"]) == ("nat", 4, 40)
    assert found.details["worst"]["answer"] == "cached-00"
    low, high = found.interval
    assert low <= found.value <= high


@pytest.mark.parametrize("width", [2**-24, 2**-9])
def test_rounding_is_far_from_the_limit(width):
    source = np.random.default_rng(3)
    cached = [
        dataclasses.replace(each, generated=each.generated * (1 + width * source.standard_normal(10)))
        for each in asked().items
        if each.kind == "cached"
    ]
    assert prefix_cache_drift(asked=asked(cached)).value < 0.001


def test_drift_ends_at_the_fork():
    forked = answer("cached", 0, cached=1152, tokens=(*TOKENS[:3], *(99,) * 7))
    beyond = np.concatenate([np.zeros(3), np.full(7, -5.0)])
    found = prefix_cache_drift(
        asked=asked([dataclasses.replace(forked, generated=forked.generated + beyond)])
    )
    assert (found.value, found.details["positions"]) == (0.0, 33)


def test_a_question_that_forks_at_once_says_nothing():
    other = answer("cached", 0, cached=1152, tokens=(99,) * 10)
    assert prefix_cache_drift(asked=asked([other])).details["positions"] == 30
    all_other = [answer("cached", number, cached=1152, tokens=(99,) * 10) for number in range(4)]
    with pytest.raises(InsufficientData, match="no token in common"):
        prefix_cache_drift(asked=asked(all_other))


@pytest.mark.parametrize("kind", ["cold", "cached"])
def test_drift_needs_log_probabilities_while_generating(kind):
    lacking = [answer(kind, 0, cached=1152 if kind == "cached" else 0, generated=None)]
    with pytest.raises(
        InsufficientData, match=rf"every generated token \(first {kind}-00\): serve with logprobs"
    ):
        prefix_cache_drift(asked=asked(**{kind: lacking}))


@pytest.mark.parametrize("value", [float("nan"), -9999.0, 0.0])
def test_drift_of_numbers_that_are_no_measurement_is_none(value):
    filled = [dataclasses.replace(each, generated=np.full(10, value)) for each in asked().items]
    with pytest.raises(InsufficientData, match=r"no measurement|are none"):
        prefix_cache_drift(asked=measurement("npu", filled))
