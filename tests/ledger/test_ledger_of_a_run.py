"""A run that names a ledger is in it when it has ended; what goes wrong with that costs the run one line."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAY_OUT = "to add it later: pytest-gptoss ledger add"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A finished run, to be judged again without servers."""
    folder = tmp_path_factory.mktemp("measured")
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom pathlib import Path\n"
    script += f"from stored_runs import make_run; make_run(Path({str(folder / 'old')!r}))\n"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300, cwd=ROOT)
    (folder / "trend.toml").write_text('[thresholds."trend.performance.ttft.c01"]\nlimit = 0.05\n', "utf-8")
    return folder


def _run(folder, ledger, **environment):
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", ROOT / "tests" / "acceptance", "-q", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", folder, "-k", "ttft.c01 or rouge"),
            *("--gptoss-replay", "old", "--gptoss-report", "new", "--gptoss-thresholds", "trend.toml"),
            *("--gptoss-ledger", ledger),
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=500,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_the_run_is_in_its_ledger(measured):
    summary = measured / "summary.md"
    done = _run(measured, "runs.db", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stdout
    assert "added to" in done.stdout
    assert "trend.performance.ttft.c01: a replay has no place among the runs" in done.stdout.replace(
        "\n  ", " "
    )
    connection = sqlite3.connect(measured / "runs.db")
    kept = connection.execute("SELECT verdict, threshold_id FROM gptoss_verdicts ORDER BY 2").fetchall()
    connection.close()
    assert kept == [
        ("PASS", "performance.ttft.c01"),
        ("PASS", "precision.rouge_l"),
        ("SKIPPED", "trend.performance.ttft.c01"),
    ]
    assert "performance.ttft.c01" in summary.read_text("utf-8")


def test_a_database_that_does_not_answer_costs_a_line(measured):
    done = _run(measured, "postgresql://lab:hunter2@127.0.0.1:1/runs")
    assert done.returncode == 0, done.stdout
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("ledger: ")]
    assert WAY_OUT in line
    told = done.stdout + done.stderr
    told += "".join(path.read_text("utf-8", "replace") for path in (measured / "new").glob("*.*"))
    assert "hunter2" not in told
