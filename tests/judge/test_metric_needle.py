"""A needle counts when its code stands on its own; what was no test is INVALID, each with its advice."""

import re

import pytest
from made import failure, measurement

from pytest_gptoss.judge.metrics.needle import (
    needle_control,
    needle_edge,
    needle_first_token,
    needle_recall,
    outcome_of,
)
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import Measurement, NeedleAnswer
from pytest_gptoss.scenarios.kinds import Needle


def trial(number=0, content="The secret code is 7842.", *, code="7842", prompt_tokens=1024, **fields):
    return NeedleAnswer(
        number, code, planned_tokens=1024, depth=0.5, prompt_tokens=prompt_tokens, content=content, **fields
    )


MISS = "The secret code is 1234."


def test_recall_is_hits_over_trials():
    result = needle_recall(npu=measurement("npu", [trial(), trial(1, MISS), trial(2), trial(3)]))
    assert (result.value, result.unit, result.n) == (0.75, "share", 4)
    assert result.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert "1 of 4 needles missed, first trial 1: asked for 7842, answered" in result.details["finding"]
    assert [each["outcome"] for each in result.details["trials"]] == ["hit", "miss", "hit", "hit"]


def test_all_found_has_no_finding():
    result = needle_recall(npu=measurement("npu", [trial()]))
    assert result.value == 1.0
    assert "finding" not in result.details


def test_the_analysis_does_not_count_and_is_told():
    found_in_thought = trial(content="I do not know.", reasoning="It is 7842.")
    assert outcome_of(found_in_thought) == "miss"
    assert (
        "its analysis alone names"
        in needle_recall(npu=measurement("npu", [found_in_thought])).details["finding"]
    )


@pytest.mark.parametrize(
    ("answer", "outcome", "advice"),
    [
        (trial(prompt_tokens=512), "truncated", "512 of 1024 prompt tokens"),
        (
            trial(prompt_tokens=None, trouble="rejected", message="400 too long"),
            "rejected",
            "--max-model-len",
        ),
        (trial(prompt_tokens=None, trouble="out_of_memory", message="hung up"), "out_of_memory", "its log"),
        (
            trial(prompt_tokens=None, trouble="timeout", message="late"),
            "timeout",
            "--gptoss-first-token-timeout",
        ),
        (trial(content="", cut=True, reasoning="Let me see"), "cut", "long_context_report.json"),
    ],
)
def test_what_was_no_test_is_no_figure(answer, outcome, advice):
    assert outcome_of(answer) == outcome
    for metric in (needle_recall, needle_control):
        with pytest.raises(InsufficientData, match=advice) as caught:
            metric(npu=measurement("npu", [trial(), answer]))
        assert outcome.replace("_", " ") in str(caught.value)
        assert answer.message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_answer_given_before_the_cut_is_a_hit():
    assert outcome_of(trial(cut=True, finish_reason="length")) == "hit"


def test_a_cell_that_was_not_asked_says_why():
    with pytest.raises(InsufficientData, match=r"^npu serves 8192: serve more$"):
        needle_recall(npu=measurement("npu", [], left_out={"trial-0": "npu serves 8192: serve more"}))
    with pytest.raises(InsufficientData, match="1 of 2 trials failed"):
        needle_recall(npu=measurement("npu", [trial()], failures=(failure("trial-1"),)))


def test_the_first_token_is_the_median_wait():
    waits = needle_first_token(
        npu=measurement("npu", [trial(first_token_ms=each) for each in (9.0, 3.0, 4.0)])
    )
    assert (waits.value, waits.unit, waits.n) == (4.0, "ms", 3)
    assert waits.details == {"cached_tokens": None}
    with pytest.raises(InsufficientData, match="no first token was timed"):
        needle_first_token(npu=measurement("npu", [trial()]))


@pytest.mark.parametrize(
    ("cached", "told"), [(0, False), (64, False), (128, False), (129, True), (900, True)]
)
def test_a_prompt_from_the_cache_was_not_prefilled(cached, told):
    answers = [trial(first_token_ms=3.0, cached_tokens=0), trial(1, first_token_ms=3.0, cached_tokens=cached)]
    details = needle_first_token(npu=measurement("npu", answers)).details
    assert details["cached_tokens"] == cached
    assert ("finding" in details) == told
    if told:
        assert f"{cached} tokens of the prompt came from npu's prefix cache" in details["finding"]


def test_the_control_counts_codes_named():
    sound = needle_control(npu=measurement("npu", [trial(content="There is no code."), trial(1, MISS)]))
    assert (sound.value, sound.unit, sound.n) == (0.0, "answers", 2)
    guessed = needle_control(npu=measurement("npu", [trial(content=MISS), trial(1)]))
    assert guessed.value == 1.0
    assert "1 of 2 answers name the code" in guessed.details["finding"]


@pytest.mark.parametrize(
    ("ours", "theirs", "finding"),
    [
        ((MISS, MISS), (MISS, MISS), "both miss 2 of 2: the model's, not the device's"),
        ((MISS, "7842"), ("7842", "7842"), "only npu misses 1 of 2: the device's"),
        (("7842", "7842"), ("7842", MISS), "only gpu misses 1 of 2: the baseline's"),
        ((MISS, MISS), ("7842", MISS), "both miss 1 of 2: .*; only npu misses 1 of 2"),
    ],
)
def test_the_edge_says_whose_a_miss_is(ours, theirs, finding):
    result = needle_edge(npu=_device("npu", ours), gpu=_device("gpu", theirs))
    assert result.details["finding"].startswith("needle d050-1k: ")
    assert re.search(finding, result.details["finding"])
    assert result.value == sum("7842" in content for content in theirs) / 2


def test_the_edge_is_silent_when_both_find_all():
    result = needle_edge(npu=_device("npu", ("7842",)), gpu=_device("gpu", ("7842",)))
    assert "finding" not in result.details


def test_other_needles_are_not_compared():
    with pytest.raises(InsufficientData, match="other needles"):
        needle_edge(npu=_device("npu", ("7842",), seed=1), gpu=_device("gpu", ("7842",)))


def _device(name, contents, seed=0):
    return Measurement(
        Needle(name, 0.5, 1024).id,
        name,
        tuple(trial(number, content) for number, content in enumerate(contents)),
        provenance={"needle": {"seed": seed}},
    )
