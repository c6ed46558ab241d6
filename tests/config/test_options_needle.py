"""What is hidden in long texts and asked for."""

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import NeedleTask


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"needle": "The magic word is sesame."}, "--gptoss-expect"),
        ({"needle": "The code is 12.", "expect": "7842"}, "no part of the needle"),
        ({"question": "Is the code 7842?"}, "gives the answer '7842' away"),
        ({"needle_grid": "half"}, "it takes document or full"),
        ({"needle_trials": "0"}, "--gptoss-needle-trials is '0': it takes a whole number from 1 on"),
        ({"needle_trials": "many"}, "whole number"),
        ({"seed": "-1"}, "--gptoss-seed is '-1'"),
        ({"max_context_len": "128k"}, "--gptoss-max-context-len is '128k'"),
        (
            {"needle": "密码是芝麻。", "expect": "芝麻", "question": "？", "needle_trials": "2"},
            "no digit or letter",
        ),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


def test_the_guides_needle_is_the_default_and_a_new_one_brings_its_answer(settings_of):
    assert settings_of().needle == NeedleTask("The secret code is 7842.", "What is the secret code?", "7842")
    given = settings_of(
        needle="Room 4 is booked under 991.", question="Which number?", needle_trials="3", seed="7"
    )
    assert (given.needle.expect, given.needle.trials, given.needle.seed) == ("991", 3, 7)
    assert given.needle_grid == "document"
    assert settings_of(max_context_len="65536").needle.max_context_len == 65_536
