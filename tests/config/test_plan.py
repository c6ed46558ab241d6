"""The table of a run: what a project's hook changes is told, whatever it changes."""

import dataclasses
import math
import re

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.verdicts import judge, line
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.verdicts import Estimate

ROW = "precision.rouge_l"


def _plan(**change):
    def hook(extensions):
        row = extensions.thresholds[ROW]
        extensions.thresholds[ROW] = dataclasses.replace(row, **change)

    return make_plan(Settings(), hook)


def _line(row):
    return line(judge(row, "npu", Estimate(0.99, "F", 60)))


def test_a_limit_that_a_hook_changes_is_told():
    row = _plan(limit=0.1).thresholds[ROW]
    assert (row.limit, row.changed_from, row.source) == (0.1, 0.98, "hook")
    assert "required >= 0.1 (changed from 0.98 by a hook)" in _line(row)


def test_another_change_is_told_too():
    row = _plan(comparison=">").thresholds[ROW]
    assert (row.changed_from, row.source) == (None, "hook")
    assert "required > 0.98 (changed by a hook)" in _line(row)


def test_another_metric_behind_a_row_is_told():
    def hook(extensions):
        metric = extensions.metrics["rouge_l"]
        extensions.metrics["rouge_l"] = dataclasses.replace(metric, compute=lambda **_: None)

    plan = make_plan(Settings(), hook)
    assert plan.thresholds[ROW].source == "hook"
    assert plan.thresholds["precision.kl"].source != "hook"


def test_what_nobody_changes_is_as_shipped():
    plan = make_plan(Settings())
    shipped = {name: row for name, row in plan.profile.thresholds.items() if row.family != "fleet"}
    assert plan.thresholds == shipped
    assert make_plan(Settings(fleet=FleetTask(("a", "b", "c")))).thresholds == plan.profile.thresholds


def test_a_trend_of_a_fleets_row_is_of_a_fleet_too(tmp_path):
    changes = tmp_path / "changes.toml"
    changes.write_text('[thresholds."trend.fleet.tpot"]\nlimit = 0.05\n')
    settings = Settings(thresholds=changes)
    assert "trend.fleet.tpot" not in make_plan(settings).thresholds
    settings = dataclasses.replace(settings, fleet=FleetTask(("a", "b", "c")))
    assert "trend.fleet.tpot" in make_plan(settings).thresholds


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "speed"}, "family is 'speed'; it takes one of: preflight, precision"),
        ({"tier": "must"}, "tier is 'must'; it takes one of: contract, assurance"),
        ({"comparison": "=>"}, "comparison is '=>'; it takes one of: >=, <="),
        ({"statistic": "p99"}, "statistic is 'p99'; it takes one of: mean"),
        ({"limit": math.nan}, "limit is nan; it takes a finite number"),
        ({"metric": "none"}, "there is no metric 'none'"),
    ],
)
def test_a_hook_that_makes_no_threshold_is_a_usage_error(change, message):
    with pytest.raises(UsageError, match=f"{ROW}: {re.escape(message)}"):
        _plan(**change)


def test_a_hook_takes_no_threshold_away():
    with pytest.raises(UsageError, match=r"taken precision.rouge_l away: .*--gptoss-waive"):
        make_plan(Settings(), lambda extensions: extensions.thresholds.pop(ROW))


@pytest.mark.parametrize(
    ("needle", "expect"), [("The secret place is the River.", "River"), ("秘密是苹果。", "苹果")]
)
def test_an_answer_that_haystacks_hold_by_themselves_is_refused(needle, expect):
    settings = Settings(needle=NeedleTask(needle, "？", expect))
    with pytest.raises(UsageError, match=f"--gptoss-expect is '{expect}', which the haystack says by itself"):
        make_plan(settings)
