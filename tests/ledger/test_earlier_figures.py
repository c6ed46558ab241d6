"""What a report gets from its ledger: earlier figures of the same device, profile, workload, statistic."""

from types import SimpleNamespace

import pytest
from ledger_runs import document, ledger, numbered

from pytest_gptoss.ledger.earlier import earlier_figures
from pytest_gptoss.model.ledger_target import read_target
from pytest_gptoss.plugin.ledger_line import kept_in_ledger
from pytest_gptoss.plugin.past_runs import add_histories


@pytest.fixture(scope="module")
def contract():
    """A contract row of the recorded run."""
    return next(row for row in document()["verdicts"] if row["tier"] == "contract")["threshold_id"]


def _this_run():
    made = numbered(0)
    made["run"]["started"] = "2026-11-28T00:00:00.000+00:00"
    return made


def test_contract_rows_get_their_latest_earlier_figures(tmp_path, contract, monkeypatch):
    monkeypatch.setattr("pytest_gptoss.ledger.earlier.MOST", 2)
    earlier = [numbered(index) for index in range(3)]
    told = earlier_figures(ledger(tmp_path, *earlier), _this_run())
    del earlier[0]
    values = [
        next(row["value"] for row in each["verdicts"] if row["threshold_id"] == contract) for each in earlier
    ]
    assert [each["value"] for each in told["npu", contract]] == values
    assert [each["started"] for each in told["npu", contract]] == [each["run"]["started"] for each in earlier]
    tiers = {row["threshold_id"]: row["tier"] for row in document()["verdicts"]}
    assert {tiers[row] for _, row in told} == {"contract"}


def _changed(name, contract):
    """An earlier run that measured something else."""
    made = numbered(0)
    row = next(each for each in made["verdicts"] if each["threshold_id"] == contract)
    if name == "replay":
        made["run"]["replay_of"] = "gptoss-report"
    elif name == "profile":
        made["run"]["profile"] = "long"
    elif name == "workload":
        made["run"]["needle"]["seed"] += 1
    elif name == "label":
        made["devices"][0]["label"] = "rack 8"
    else:
        row[name] = "other"
    return made


@pytest.mark.parametrize("name", ["replay", "profile", "workload", "label", "statistic", "unit"])
def test_runs_that_measured_something_else_are_none(name, tmp_path, contract):
    told = earlier_figures(ledger(tmp_path, _changed(name, contract)), _this_run())
    assert ("npu", contract) not in told


def _settings(target, replay=None):
    return SimpleNamespace(ledger=target, replay=replay, report="gptoss-report")


def test_a_finished_run_alone_asks_its_ledger(tmp_path, contract):
    target = ledger(tmp_path, numbered(0))
    for settings, state in (
        (_settings(None), "finished"),
        (_settings(target, replay="old"), "finished"),
        (_settings(target), "interrupted"),
        (_settings(read_target("new.db", tmp_path)), "finished"),
    ):
        made = {**_this_run(), "state": state}
        assert add_histories(made, settings) == ""
        assert not any("history" in row for row in made["verdicts"])
    made = _this_run()
    assert add_histories(made, _settings(target)) == ""
    assert next(row for row in made["verdicts"] if row["threshold_id"] == contract)["history"]


def test_a_ledger_that_cannot_be_read_costs_a_line(tmp_path):
    (tmp_path / "runs.db").write_text("no database at all, " * 99, "utf-8")
    made = _this_run()
    unread = add_histories(made, _settings(read_target("runs.db", tmp_path)))
    assert "runs.db" in unread
    assert not any("history" in row for row in made["verdicts"])
    kept = kept_in_ledger(_settings(None), unread)
    assert kept == ""
