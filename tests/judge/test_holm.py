"""Many tests with one bound on the chance of any false alarm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.holm import holm
from pytest_gptoss.judge.intervals import student_critical, student_outside

P = st.floats(0, 1)


def test_a_textbook_example():
    # Sorted: 0.005, 0.01, 0.03, 0.04 against 0.05 / 4, / 3, / 2, / 1: the third stops it.
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, 0.05)
    assert {name: each.adjusted for name, each in found.items()} == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert {name: each.level for name, each in found.items()} == pytest.approx(
        {"d": 0.0125, "a": 0.05 / 3, "c": 0.025, "b": 0.025}
    )


@given(st.dictionaries(st.integers(), P, min_size=1), st.floats(1e-6, 0.5))
def test_the_level_of_a_step_says_the_same_as_its_adjusted_p(values, level):
    for key, step in holm(values, level).items():
        if abs(step.adjusted - level) > 1e-9:
            assert (values[key] <= step.level) == (step.adjusted <= level)


@given(st.dictionaries(st.integers(), P, min_size=1))
def test_the_least_p_is_judged_by_bonferroni(values):
    least = min(values, key=values.get)
    assert holm(values, 0.01)[least].level == 0.01 / len(values)


def test_students_distribution_and_its_inverse_agree():
    # R: qt(0.995, 1) = 63.65674, qt(0.995, 10) = 3.169273, qt(0.99995, 25) = 4.618
    assert student_critical(0.99, 1) == pytest.approx(63.65674, rel=1e-5)
    assert student_critical(0.99, 10) == pytest.approx(3.169273, rel=1e-6)
    for freedom in (1, 2, 5, 25, 64):
        for outside in (0.5, 1e-2, 1e-5):
            critical = student_critical(1 - outside, freedom)
            assert student_outside(critical, freedom) == pytest.approx(outside, rel=1e-4)
    assert student_outside(0.0, 3) == 1.0


def test_sound_tests_alarm_no_more_often_than_the_level():
    random = np.random.default_rng(3)
    alarms = sum(
        any(step.adjusted <= 0.05 for step in holm(dict(enumerate(random.random(20))), 0.05).values())
        for _ in range(2000)
    )
    assert 60 <= alarms <= 130
