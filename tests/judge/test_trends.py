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


def test_more_runs_are_the_reference_where_the_file_says_so():
    slower = [*_past(10), *_past(10, level=1.1, seed=2)]
    assert trend(1.1, slower, "<=").value == pytest.approx(0.1, abs=0.02)
    assert trend(1.1, slower, "<=", 20).value == 0
    with pytest.raises(ConditionAbsent, match=r"has 20 accepted runs .*, and 21 are needed"):
        trend(1.1, slower, "<=", 21)


def test_what_is_as_before_the_last_runs_is_as_good_as_the_reference():
    """Runs became better, then as they were: worse than those before, not than the accepted ones."""
    back = [*_past(10), *_past(20, level=0.9, seed=2), *_past(4, seed=3)]
    assert trend(1.0, back, "<=").value == 0


def _table(tmp_path, text):
    (tmp_path / "trend.toml").write_text(text, "utf-8")
    return load_profile("embedded", overrides=tmp_path / "trend.toml").thresholds


def test_the_trend_of_a_row_is_a_row(tmp_path):
    table = _table(tmp_path, f'[thresholds."trend.{ROW}"]\nlimit = 0.05\n')
    row = table[f"trend.{ROW}"]
    assert (row.limit, row.unit, row.comparison, row.family) == (0.05, "share", "<=", "performance")
    assert (row.changed_from, row.runs) == (None, 10)
    assert MetricTable()[row.metric] is metric_named(table[ROW].metric)
    assert Wording("en").name(row.id) == f"Trend: {Wording('en').name(ROW)}"


def test_a_trend_may_stand_before_its_row_and_name_its_runs(tmp_path):
    added = "performance.itl.c01"
    text = f'[thresholds."trend.{added}"]\nlimit = 0.05\nruns = 20\n[thresholds."{added}"]\nlimit = 9\n'
    table = _table(tmp_path, text + 'statistic = "p99"\n')
    row = table[f"trend.{added}"]
    assert (row.limit, row.runs, row.statistic) == (0.05, 20, "p99")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'[thresholds."trend.{ROW}"]\nlimit = 0.1\nruns = 4\n', "runs is 4; .* 5 to 1000 accepted runs"),
        (f'[thresholds."trend.{ROW}"]\nlimit = 0.1\nruns = 7.5\n', "runs is 7.5; .* whole numbers only"),
        (f'[thresholds."{ROW}"]\nruns = 7\n', "'runs' cannot be changed, only limit and statistic"),
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
