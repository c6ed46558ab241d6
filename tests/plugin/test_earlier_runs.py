"""A run whose ledger knows earlier ones: its trend is judged against them, its page shows them."""

import copy
import json
import os
import subprocess
import sys

from small_server import small_server

from pytest_gptoss.ledger.storing import add_run
from pytest_gptoss.model.ledger_target import read_target
from pytest_gptoss.model.resources import acceptance_tests

ROW = "precision.rouge_l"
RUNS = 5
FIGURE = """
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.model.verdicts import Estimate

def pytest_gptoss_thresholds(thresholds, metrics):
    metrics["rouge_l"] = Metric("rouge_l", lambda: Estimate(1.0, "F", 3), lambda roles: {})
"""


def _run(folder, npu):
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", acceptance_tests(), "-q", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", folder, "-p", "no:hypothesispytest", "-p", "figure"),
            *("-k", "rouge", "--gptoss-profile=embedded", f"--npu-url={npu}"),
            *("--gptoss-thresholds=trend.toml", "--gptoss-ledger=runs.db"),
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip


def _rows(folder):
    document = json.loads((folder / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    return document, {row["threshold_id"]: row for row in document["verdicts"]}


def _earlier(document, day):
    """The run as it may have been on an earlier day: accepted, its ROUGE-L better than can be."""
    made = copy.deepcopy(document)
    made["run"] |= {"started": f"2026-01-0{day}T00:00:00.000+00:00", "verdict": "ACCEPTED"}
    for row in made["verdicts"]:
        if row["threshold_id"] == ROW:
            row["value"] = 1.2 + day / 1000
    return made


def test_a_trend_is_judged_and_earlier_runs_are_shown(tmp_path):
    (tmp_path / "figure.py").write_text(FIGURE, "utf-8")
    (tmp_path / "trend.toml").write_text(
        f'[thresholds."trend.{ROW}"]\nlimit = 0.05\nruns = {RUNS}\n', "utf-8"
    )
    with small_server() as npu:
        first = _run(tmp_path, npu)
        document, rows = _rows(tmp_path)
        assert rows[ROW]["value"] == 1, first.stdout
        assert rows[f"trend.{ROW}"]["verdict"] == "SKIPPED"
        assert "history" not in rows[ROW]
        for day in range(1, RUNS + 1):
            add_run(read_target(str(tmp_path / "runs.db")), _earlier(document, day))
        second = _run(tmp_path, npu)
    _, rows = _rows(tmp_path)
    assert rows[f"trend.{ROW}"]["verdict"] == "FAIL", second.stdout
    assert f"the mean of {RUNS} accepted runs" in rows[f"trend.{ROW}"]["details"]["finding"]
    told = [each["value"] for each in rows[ROW]["history"]]
    assert told == [1.2 + day / 1000 for day in range(1, RUNS + 1)] + [1.0]
    page = (tmp_path / "gptoss-report" / "acceptance.html").read_text("utf-8")
    assert f"{RUNS + 1} before" in page
    assert "added to" in second.stdout
