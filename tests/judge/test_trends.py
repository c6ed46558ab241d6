"""Rows of trends: worse than the accepted runs, by more than the tolerance and not by chance."""

import random

import pytest

from pytest_gptoss.config.metric_table import MetricTable
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.trend import Past, trend
from pytest_gptoss.model.errors import ConditionAbsent, UsageError
from pytest_gptoss.report.wording import Wording

ROW = "performance.ttft.c01"


def _past(count, *, level=1.0, seed=1, accepted=True):
    noise = random.Random(seed)
    return [Past(level * (1 + 0.01 * noise.gauss(0, 1)), accepted) for _ in range(count)]


@pytest.mark.parametrize(("comparison", "worse"), [("<=", 1.1), (">=", 0.9)])
def test_a_worse_run_is_told_and_a_better_one_is_not(comparison, worse):
    found = trend(worse, _past(20), comparison)
    assert found.value == pytest.approx(0.1, abs=0.02)
    assert found.unit == "share"
    assert found.n == 21
    assert trend(2 - worse, _past(20), comparison).value == 0


def test_what_may_be_chance_is_none():
    assert trend(1.02, _past(20), "<=").value == 0


def test_several_runs_tell_what_one_does_not():
    later = [Past(1.035, accepted=False)] * 4
    assert trend(1.035, _past(20), "<=").value == 0
    assert trend(1.035, [*_past(20), *later], "<=").value > 0.02


def test_a_slow_drift_does_not_hide():
    noise = random.Random(3)
    values = [1 + 0.001 * index + 0.01 * noise.gauss(0, 1) for index in range(80)]
    past = [Past(each, accepted=True) for each in values[:-1]]
    assert trend(values[-1], past, "<=").value > 0.05


def test_the_reference_begins_with_the_confirmed_run():
    old, new = _past(20), _past(20, level=1.2, seed=2)
    new[0] = Past(new[0].value, accepted=True, confirmed=True)
    assert trend(1.2, [*old, *new], "<=").value == 0
    assert trend(1.2, [*old, *_past(20, level=1.2, seed=2)], "<=").value > 0.15


def test_runs_that_were_not_accepted_are_no_reference():
    with pytest.raises(ConditionAbsent, match="no trend yet: the ledger has 9 accepted runs"):
        trend(1.0, [*_past(9), *_past(30, accepted=False)], "<=")
    confirmed = [*_past(20), Past(1.0, accepted=True, confirmed=True)]
    with pytest.raises(ConditionAbsent, match="the ledger has 1 accepted runs"):
        trend(1.0, confirmed, "<=")


def test_a_figure_of_zero_has_no_trend():
    with pytest.raises(ConditionAbsent, match="a share of it means nothing"):
        trend(1.0, [Past(0.0, accepted=True)] * 10, "<=")


def _table(tmp_path, text):
    (tmp_path / "trend.toml").write_text(text, "utf-8")
    return load_profile("embedded", overrides=tmp_path / "trend.toml").thresholds


def test_the_trend_of_a_row_is_a_row(tmp_path):
    table = _table(tmp_path, f'[thresholds."trend.{ROW}"]\nlimit = 0.05\n')
    row = table[f"trend.{ROW}"]
    assert (row.limit, row.unit, row.comparison, row.family) == (0.05, "share", "<=", "performance")
    assert row.changed_from is None
    assert MetricTable()[row.metric] is metric_named(table[ROW].metric)
    assert Wording("en").name(row.id) == f"Trend: {Wording('en').name(ROW)}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f'[thresholds."trend.{ROW}"]\nstatistic = "p99"\nlimit = 1\n',
            "a trend has the statistic of its row",
        ),
        (f'[thresholds."trend.{ROW}"]\nlimit = 5\n', "a limit in share must be from 0 to 1"),
        ('[thresholds."trend.inputs.identical"]\nlimit = 0.1\n', "so it has no trend: watch another row"),
        ('[thresholds."trend.nothing"]\nlimit = 0.1\n', "no threshold is called"),
    ],
)
def test_what_is_no_trend_is_refused(text, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        _table(tmp_path, text)
