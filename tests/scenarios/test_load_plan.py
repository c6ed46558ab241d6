"""The levels of a run: the profile's unless the user says otherwise, and never fewer requests than lanes."""

import dataclasses

import pytest

from pytest_gptoss.model.arrivals import Arrivals, Slo, TraceFile
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


OPEN = dataclasses.replace(PROFILE["c16"], concurrency=8, arrivals=Arrivals(8.0))
TRACE = LoadShape(
    2, 30, 900, 40, "completions", longest=930, duration_s=60,
    arrivals=Arrivals(1.5, "trace", trace=TraceFile("t.csv", "0" * 64)),
)  # fmt: skip


def test_rates_and_a_trace_stand_behind_the_closed_levels():
    levels = planned_levels({**PROFILE, "r2": OPEN}, LoadTask(rates=(0.5, 12.0), trace=TRACE, seed=3))
    assert list(levels) == ["c01", "c04", "c16", "r0.5", "r2", "r12", "trace"]
    assert {name: levels[name] for name in PROFILE} == PROFILE
    assert levels["trace"] == TRACE
    # As long and as many as those of the profile's largest level.
    assert levels["r12"] == LoadShape(12, 200, 1024, 512, arrivals=Arrivals(12.0, seed=3))
    assert levels["r0.5"].concurrency == 1


def test_an_open_level_of_the_profile_stays_where_closed_ones_are_named():
    levels = planned_levels({**PROFILE, "r8": OPEN}, LoadTask(concurrency=(4,), max_tokens=9, requests=20))
    assert list(levels) == ["c04", "r8"]
    assert levels["r8"] == dataclasses.replace(OPEN, max_tokens=9, requests=20)


def test_a_duration_says_how_many_requests_there_are():
    task = LoadTask(rates=(2.0,), law="constant", duration_s=60)
    shape = planned_levels(PROFILE, task)["r2"]
    assert (shape.requests, shape.duration_s) == (120, 60)
    assert planned_levels(PROFILE, dataclasses.replace(task, ramp_up_s=20))["r2"].requests == 100
    assert (
        planned_levels(PROFILE, dataclasses.replace(task, requests=30, concurrency=(1,)))["r2"].requests == 30
    )
    assert planned_levels(PROFILE, dataclasses.replace(task, requests=300))["r2"].requests == 120
    own = dataclasses.replace(OPEN, requests=0, duration_s=10, arrivals=Arrivals(8.0, "constant"))
    assert planned_levels({**PROFILE, "r8": own}, LoadTask())["r8"].requests == 80


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (LoadTask(duration_s=5), "--gptoss-duration is 5, and all levels .* closed loops.*--gptoss-rate"),
        (
            LoadTask(rates=(0.5,), law="constant", duration_s=1),
            "r0.5: not one request comes within 1 s: raise",
        ),
        (
            LoadTask(rates=(900.0,), duration_s=1e6),
            "r900: some 900,000,000 prompts of 1024 .* kept in memory",
        ),
        (LoadTask(slo_share=0.9), "--gptoss-slo-share is 0.9.* add --gptoss-slo-ttft or --gptoss-slo-tpot"),
    ],
)
def test_an_open_level_that_cannot_be_is_refused(task, message):
    with pytest.raises(UsageError, match=message):
        planned_levels(PROFILE, task)


def test_the_service_level_is_the_profiles_with_what_the_user_says_over_it():
    profile = {name: dataclasses.replace(shape, slo=Slo(500, None, 0.9)) for name, shape in PROFILE.items()}
    levels = planned_levels(profile, LoadTask(rates=(8.0,), trace=TRACE, slo_tpot_ms=50))
    assert {levels[name].slo for name in ("c01", "r8")} == {Slo(500, 50, 0.9)}
    assert levels["trace"].slo == Slo(None, 50)
    assert {shape.slo for shape in planned_levels(PROFILE, LoadTask()).values()} == {None}


def test_a_ramp_is_for_every_level():
    levels = planned_levels(PROFILE, LoadTask(rates=(8.0,), trace=TRACE, ramp_up_s=3))
    assert {shape.ramp_up_s for shape in levels.values()} == {3}


def test_an_open_level_that_a_run_lacks_is_said_with_the_way_to_have_it():
    levels = {**PROFILE, "r8": OPEN}
    assert why_absent("r2", levels) == (
        "load level r2 is not in this run, which has c01, c04, c16, r8: add it with --gptoss-rate, or "
        "deselect its rows with -k 'not r2'"
    )
    assert "add it with --gptoss-trace" in why_absent("trace", levels)
    assert "which has --gptoss-concurrency 1,4,16:" in why_absent("c08", levels)


def test_a_rate_that_the_profile_knows_has_its_shape():
    known = dataclasses.replace(OPEN, requests=33, arrivals=Arrivals(8.0, "gamma", 2.0))
    profile = {**PROFILE, "r8": known}
    assert planned_levels(profile, LoadTask(rates=(8.0,)))["r8"] == known
    levels = planned_levels(profile, LoadTask(rates=(8.0,), law="constant"))
    assert levels["r8"] == dataclasses.replace(known, arrivals=Arrivals(8.0, "constant"))


def test_a_profile_may_have_open_levels_alone():
    profile = {"r8": dataclasses.replace(OPEN, requests=0, duration_s=10)}
    levels = planned_levels(profile, LoadTask(rates=(2.0,), concurrency=(16,)))
    assert list(levels) == ["c16", "r2", "r8"]
    assert levels["c16"] == LoadShape(16, 64, 1024, 512)
    assert (levels["r2"].requests, levels["r2"].max_tokens) == (32, 512)
