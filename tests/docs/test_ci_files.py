"""The job files of docs/ci parse, name options that exist, and the dashboard's queries run on a ledger."""

import json
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from pytest_gptoss.config.options import OPTION, OPTIONS

yaml = pytest.importorskip("yaml")
pytest.importorskip("sqlalchemy")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "ci"
JOBS = ("github-acceptance.yml", "gitlab-ci.yml", "Jenkinsfile")
OTHERS = {"--pyargs", "--junitxml", "--output"}
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
QUERIES = {
    **{panel["title"]: panel["targets"][0]["rawSql"] for panel in DASHBOARD["panels"]},
    **{each["name"]: each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"},
}


def test_every_file_is_checked():
    assert {path.name for path in FOLDER.iterdir()} == {*JOBS, "grafana-dashboard.json"}


@pytest.mark.parametrize("name", JOBS)
def test_options_and_variables_exist(name):
    text = (FOLDER / name).read_text("utf-8")
    assert set(re.findall(r"--[a-z][a-z-]+[a-z]", text)) - OTHERS <= {option.flag for option in OPTIONS}
    variables = {name for name in re.findall(r"\bGPTOSS_[A-Z_]+\b", text) if "KEY" not in name}
    known = {*(each.env for each in OPTION.values()), "GPTOSS_LEDGER_PASSWORD"}
    assert variables <= known
    assert "--junitxml=acceptance.xml" in text


@pytest.mark.parametrize("name", JOBS[:2])
def test_a_job_file_is_yaml(name):
    document = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    assert {"jobs", "acceptance"} & set(document)


def test_the_jenkinsfile_is_balanced():
    text = (FOLDER / "Jenkinsfile").read_text("utf-8")
    bare = re.sub(r"'''.*?'''|'[^'\n]*'|//[^\n]*", "", text, flags=re.DOTALL)
    depth = []
    for char in bare:
        if char in "{(":
            depth.append(char)
        elif char in "})":
            assert depth.pop() == {"}": "{", ")": "("}[char]
    assert not depth
    assert "'" not in bare


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """A real ledger with two runs, one of them with a load level."""
    sys.path.insert(0, str(ROOT / "tests" / "ledger"))
    from ledger_runs import document, ledger, numbered, with_level

    sys.path.pop(0)
    target = ledger(tmp_path_factory.mktemp("ledger"), with_level(document("failing")), numbered(1))
    connection = sqlite3.connect(target.path)
    yield connection
    connection.close()


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_of_the_dashboard_runs_and_finds_something(title, connection):
    query = QUERIES[title].replace("$row", "precision.rouge_l")
    assert connection.execute(query).fetchall()
