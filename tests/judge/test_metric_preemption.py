"""Answers of a load that made a server preempt, and a row that is skipped where none did."""

import dataclasses

import numpy as np
import pytest
from made import failure, measurement, scored, top

from pytest_gptoss.judge.metrics.preemption import preemption
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.results import StressAnswer

QUIET = measurement("npu", [scored("q", [-0.1] * 10, tops=[{1: -0.1, 2: -3.0}] * 10)])


def answer(name, deficit):
    rows = [{1: -0.1, 2: -3.0}] * 10
    logprobs = np.full(10, -0.1 - deficit)
    return StressAnswer(name, tuple(range(13)), 3, logprobs, top(*rows), server={"preemptions": 7.0})


def test_answers_are_judged_as_all_under_stress_and_the_count_is_told():
    found = preemption(stressed=measurement("npu", [answer("a", 0.0), answer("b", 3.0)]), quiet=QUIET)
    assert (found.value, found.n) == (0.5, 2)
    assert found.details["preemptions"] == 7.0


def test_without_a_preemption_the_row_is_skipped():
    nothing = dataclasses.replace(measurement("npu", []), left_out={"load": "npu never preempted"})
    with pytest.raises(ConditionAbsent, match="npu never preempted"):
        preemption(stressed=nothing, quiet=QUIET)


def test_a_load_that_failed_is_no_reason_to_skip():
    failed = dataclasses.replace(measurement("npu", [], failures=[failure("*")]), left_out={"load": "why"})
    with pytest.raises(InsufficientData) as caught:
        preemption(stressed=failed, quiet=QUIET)
    assert not isinstance(caught.value, ConditionAbsent)


def test_answers_that_could_not_be_scored_are_no_reason_to_skip():
    unscored = dataclasses.replace(measurement("npu", []), left_out={"preemption-0000": "no token ids"})
    with pytest.raises(InsufficientData, match="no token ids") as caught:
        preemption(stressed=unscored, quiet=QUIET)
    assert not isinstance(caught.value, ConditionAbsent)


def test_a_few_answers_of_the_draw_are_not_judged():
    answers, unscored = (
        [answer("a", 0.0)],
        {f"preemption-{place:04d}": "no time was left" for place in range(63)},
    )
    few = dataclasses.replace(measurement("npu", answers), left_out=unscored)
    with pytest.raises(InsufficientData, match=r"1 of 64 drawn answers could be scored.*no time was left"):
        preemption(stressed=few, quiet=QUIET)
    half = dataclasses.replace(few, left_out=dict(list(unscored.items())[:1]))
    assert preemption(stressed=half, quiet=QUIET).n == 1
