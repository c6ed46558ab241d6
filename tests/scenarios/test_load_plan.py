"""The levels of a run: the profile's unless the user says otherwise, and never fewer requests than lanes."""

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.load_names import level_name
from pytest_gptoss.scenarios.load_level import why_too_long
from pytest_gptoss.scenarios.load_plan import changes, planned_levels, why_absent

PROFILE = {
    "c01": LoadShape(1, 50, 1024, 256),
    "c04": LoadShape(4, 100, 1024, 512),
    "c16": LoadShape(16, 200, 1024, 512),
}


def test_the_profiles_levels_are_the_default():
    assert planned_levels(PROFILE, LoadTask()) == PROFILE
    assert changes(PROFILE, PROFILE) == []


def test_what_the_user_says_goes_for_every_level():
    task = LoadTask(
        concurrency=(16, 1), requests=20, max_tokens=64, prompt_tokens=512, endpoint="completions"
    )
    levels = planned_levels(PROFILE, task)
    assert list(levels) == ["c01", "c16"]
    assert levels["c16"] == LoadShape(16, 20, 512, 64, "completions")
    lines = changes(PROFILE, levels)
    assert [
        word in lines[i] for i, word in enumerate(("requests", "prompt tokens", "output", "endpoint"))
    ] == ([True] * 4)
    assert "c01 20 (profile: 50), c16 20 (profile: 200)" in lines[0]


@pytest.mark.parametrize(
    ("concurrency", "like", "requests"), [(2, 256, 50), (8, 512, 100), (32, 512, 200), (256, 512, 1024)]
)
def test_a_level_of_ones_own_is_like_the_next_lower(concurrency, like, requests):
    levels = planned_levels(PROFILE, LoadTask(concurrency=(concurrency,)))
    (shape,) = levels.values()
    assert list(levels) == [level_name(concurrency)]
    assert (shape.max_tokens, shape.requests, shape.prompt_tokens) == (like, requests, 1024)
    assert changes(PROFILE, levels) == []


def test_a_level_with_fewer_requests_than_lanes_is_refused():
    with pytest.raises(
        UsageError, match=r"--gptoss-num-requests is 8, fewer than the 16 .* --gptoss-concurrency"
    ):
        planned_levels(PROFILE, LoadTask(requests=8))
    assert planned_levels(PROFILE, LoadTask(requests=8, concurrency=(1, 4)))


def test_a_level_that_does_not_fit_the_context_says_how_to_serve():
    shape = LoadShape(1, 50, 1024, 256)
    assert why_too_long(shape, device="npu", context=1280) is None
    assert why_too_long(shape, device="npu", context=None) is None
    assert "--max-model-len 1280" in why_too_long(shape, device="npu", context=1279)


def test_two_levels_may_have_one_concurrency():
    """Another prompt length is another named shape, beside the one that --gptoss-concurrency names."""
    profile = {**PROFILE, "c16-p4096": LoadShape(16, 64, 4096, 512)}
    assert planned_levels(profile, LoadTask()) == profile
    assert list(planned_levels(profile, LoadTask(concurrency=(16,)))) == ["c16"]
    assert planned_levels(profile, LoadTask(concurrency=(32,)))["c32"] == LoadShape(32, 200, 1024, 512)
    assert changes(profile, planned_levels(profile, LoadTask(requests=64)))[0].endswith(
        "c16 64 (profile: 200)"
    )


def test_a_level_that_a_run_lacks_is_said_with_the_way_to_have_it():
    assert why_absent("c04", PROFILE) is None
    assert why_absent("c08", PROFILE) == (
        "load level c08 is not in this run, which has --gptoss-concurrency 1,4,16: add 8 to it, or deselect "
        "its rows with -k 'not c08'"
    )
    assert why_absent("c16-p4096", PROFILE).endswith("which has c01, c04, c16: add it to the profile")
