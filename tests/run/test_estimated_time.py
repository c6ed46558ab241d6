"""How long a run takes, as its header tells before anything is sent."""

import dataclasses

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.verdicts import FAMILIES
from pytest_gptoss.run.estimated_time import family_minutes, in_words
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.kinds import Audit, Load

ROLES = Roles("npu", gpu="gpu")


@pytest.fixture(scope="module")
def plan():
    return make_plan(Settings(profile="atlas-800-a2"))


def test_every_family_has_its_minutes(plan):
    found = family_minutes(plan, ROLES)
    assert tuple(found) == FAMILIES
    assert [name for name, each in found.items() if not each] == ["fleet"]


def test_a_fleets_rounds_take_their_prompts_and_answers():
    fleet = FleetTask(("n1", "n2", "n3"))
    plan = make_plan(Settings(profile="atlas-800-a2", fleet=fleet))
    assert family_minutes(plan, Roles("n1", fleet=fleet))["fleet"] > 1


def test_a_load_level_takes_its_prompts_and_its_longest_answers(plan):
    shape = plan.workload.levels["c16"]
    assert (shape.requests, shape.prompt_tokens, shape.max_tokens) == (200, 1024, 512)
    effort = Load("npu", "c16").effort(plan.workload)
    assert effort == Effort(216 * 1024, 216 * 512 // 16)
    assert effort.seconds(read_per_s=1024, written_per_s=512) == pytest.approx(216 + 216 / 16)
    assert Audit("npu", "c16").effort(plan.workload) == Effort(64 * (1024 + 512), 64)


def test_an_open_level_takes_as_long_as_its_schedule():
    load = LoadTask(concurrency=(1,), rates=(8.0,), law="constant", duration_s=60, ramp_up_s=10)
    plan = make_plan(Settings(profile="atlas-800-a2", load=load))
    assert plan.workload.levels["r8"].requests == 440
    effort = Load("npu", "r8").effort(plan.workload)
    assert effort == Effort(8 * 1024, 2 * 512, 60.0)
    assert (effort + effort).seconds(read_per_s=1024, written_per_s=512) == 2 * (8 + 2 + 60)


def test_what_is_not_measured_takes_no_time(plan):
    with_gpu, alone = family_minutes(plan, ROLES), family_minutes(plan, Roles("npu"))
    assert alone["precision"] < with_gpu["precision"]
    one = make_plan(Settings(profile="atlas-800-a2", load=LoadTask(concurrency=(1,))))
    assert family_minutes(one, ROLES)["performance"] < with_gpu["performance"] / 2


def test_what_two_families_share_counts_once(plan):
    """The device's own answers and scores stand behind precision and the audit."""
    assert family_minutes(plan, ROLES)["stress"] < family_minutes(plan, ROLES)["precision"]
    only_stress = {key: row for key, row in plan.thresholds.items() if row.family == "stress"}
    alone = family_minutes(dataclasses.replace(plan, thresholds=only_stress), ROLES)
    assert alone["stress"] > family_minutes(plan, ROLES)["stress"] + 5


def test_a_profile_without_a_pace_tells_nothing(plan):
    workload = dataclasses.replace(plan.profile.workload, pace=None)
    silent = dataclasses.replace(plan, profile=dataclasses.replace(plan.profile, workload=workload))
    assert family_minutes(silent, ROLES) == {}


def test_the_estimate_in_words():
    assert (
        in_words({"precision": 7.6, "needle": 0.3, "stress": 2.0})
        == "about 10 minutes (precision 8, stress 2)"
    )
    assert in_words({"precision": 0.1}) == "about a minute"
