"""A row over runs: its change points, versions and confirmed runs, printed and plotted."""

import random

import pytest
from ledger_runs import ledger, numbered

from pytest_gptoss.cli.main import main
from pytest_gptoss.ledger.change_points import FEWEST, change_points
from pytest_gptoss.ledger.history import histories
from pytest_gptoss.ledger.storing import confirm_run

pytest.importorskip("ruptures")
ROW = "performance.ttft.c01"


def _noisy(count, *, level=1.0, seed=1):
    noise = random.Random(seed)
    return [level * (1 + 0.01 * noise.gauss(0, 1)) for _ in range(count)]


def test_a_step_is_found_where_it_is():
    assert change_points(_noisy(20) + _noisy(20, level=1.1, seed=2)) == [20]


@pytest.mark.parametrize("values", [[1.0] * 50, _noisy(FEWEST - 1), [], [1.0], _noisy(60)])
def test_where_nothing_changed_nothing_is_found(values):
    assert change_points(values) == []


def test_one_outlier_is_no_new_level():
    values = _noisy(40)
    values[20] = 1.03
    assert change_points(values) == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A ledger of 24 runs: from the twelfth on another server version and a slower first token."""
    made = [numbered(index) for index in range(24)]
    for index, each in enumerate(made):
        slower = 1.2 if index >= 12 else 1.0
        for row in each["verdicts"]:
            if row["threshold_id"] == ROW:
                row["value"] = 20 * slower * (1 + 0.01 * random.Random(index).gauss(0, 1))
        each["devices"][0] |= {"label": "rack 7", "server_version": "0.19" if index >= 12 else "0.18"}
    replay = numbered(30)
    replay["run"]["replay_of"] = "gptoss-report"
    return ledger(tmp_path_factory.mktemp("ledger"), *made, replay)


def test_a_series_has_its_changes_and_versions(runs):
    (series,) = histories(runs, row=ROW)
    assert (series.device, len(series.points)) == ("rack 7", 24)
    assert series.changes() == series.version_changes() == [12]
    assert histories(runs, row=ROW, device="rack 8") == []
    rows = {each.row for each in histories(runs, device="rack 7")}
    assert ROW in rows
    assert not [row for row in rows if row.startswith("preflight")]


def test_the_command_prints_and_plots(runs, tmp_path, capsys):
    (series,) = histories(runs, row=ROW)
    confirm_run(runs, series.points[12].run_id)
    plot = tmp_path / "history.png"
    assert main(["history", "--row", ROW, "--ledger", str(runs.path), "--output", str(plot)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"rack 7: {ROW} (embedded), 24 runs"
    assert [line for line in lines if line.endswith("change, version 0.19, confirmed")] == [lines[13]]
    assert main(["history", "--row", ROW, "--ledger", str(runs.path), "--lang", "zh"]) == 0
    assert "变化点, 版本 0.19, 已确认" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main(["history", "--row", ROW, "--ledger", str(runs.path), "--output", f"{plot}.odd"]) == 4
    assert main(["history", "--row", "none", "--ledger", str(runs.path)]) == 4
    assert "no run of the ledger has a figure of that row" in capsys.readouterr().err
