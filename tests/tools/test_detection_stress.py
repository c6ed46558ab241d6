"""Faults of serving have rows under stress, and the fast choice runs their named checks alone."""

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from detection.matrix import markdown
from detection.recordings import BESIDE_GPU, RECORDINGS
from detection.row import BASELINE, FAIL, Outcome, Row, Served, column
from detection.rows import OPTIONS, all_rows
from detection.runs import Runs
from detection.stress import NAMED, UNDER_STRESS

from pytest_gptoss.judge.thresholds import load_profile

ROWS = {row.id: row for row in all_rows()}


@pytest.mark.parametrize("name", NAMED)
def test_a_fault_of_serving_runs_what_cannot_see_it_as_well(name):
    check, quick = NAMED[name]
    row = ROWS[name]
    assert (row.expect, row.families, row.group) == ({check: FAIL}, UNDER_STRESS, "stress")
    chosen = [each for each in load_profile("embedded").thresholds if quick in each]
    assert chosen
    assert {column(each) for each in chosen} >= {check}


def test_the_sound_server_stands_beside_them():
    assert ROWS["sound-stress"].sound
    assert ROWS["sound-stress"].families == "stress"


def test_position_drift_is_shown_red_without_the_loads_of_the_family():
    row = ROWS["kv-shift"]
    assert row.expect["stress.position_drift"] == FAIL
    assert row.families == UNDER_STRESS
    assert OPTIONS[row.id] == ("-k", "not test_stress or position_drift")


def test_load_levels_share_a_column_under_stress_too():
    assert column("stress.audit.c16") == "stress.audit"
    assert column("stress.preemption") == "stress.preemption"


def test_the_baseline_holds_what_rows_under_stress_compare_with():
    assert RECORDINGS[BASELINE].families == UNDER_STRESS
    assert "position_drift" in BESIDE_GPU


def test_they_have_a_table_of_their_own():
    row = ROWS["recompute-shift"]
    verdicts = {"precision.kl": "PASS", "stress.audit.c01": "PASS", "stress.preemption": "FAIL"}
    lines = markdown([row], {row.id: Outcome(row.id, 1, 1.0, verdicts)}, told=()).splitlines()
    assert "## Under stress: the reference server with a fault of serving" in lines
    assert f"| {row.id} | {row.what} | stress.preemption | PASS | PASS | **FAIL** |" in lines


@pytest.mark.parametrize("fast", [True, False])
def test_the_fast_choice_runs_the_named_check_alone(monkeypatch, tmp_path, fast):
    commands = []

    def run(command, **_):
        commands.append(command)
        report = Path(next(each for each in command if each.startswith("--gptoss-report=")).partition("=")[2])
        report.mkdir()
        row = {"threshold_id": "stress.preemption", "verdict": "FAIL", "value": 0.8, "reason": "why"}
        (report / "acceptance.json").write_text(json.dumps({"verdicts": [row]}))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr("detection.runs.subprocess.run", run)
    row = Row(
        "shift", "stress", "a shift", lambda: nullcontext(Served("")), {"stress.preemption": FAIL},
        families=UNDER_STRESS, quick="preemption",
    )  # fmt: skip
    Runs(tmp_path, named_alone=fast).run(row)
    assert commands[0][commands[0].index("-m", 4) + 1] == ("stress" if fast else UNDER_STRESS)
    assert ("preemption" in commands[0]) == fast
