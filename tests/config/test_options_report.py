"""Where reports go, and their language."""

import pytest

from pytest_gptoss.model.errors import UsageError


def test_reports_lie_in_the_directory_the_run_was_started_in(settings_of, tmp_path):
    usual = settings_of(npu_url="http://n")
    assert (usual.report, usual.lang) == (tmp_path / "gptoss-report", "en")
    given = settings_of(npu_url="http://n", report="mine", lang="zh")
    assert (given.report, given.lang) == (tmp_path / "mine", "zh")


def test_a_ledger_is_a_file_or_a_database(settings_of, tmp_path):
    assert settings_of(npu_url="http://n").ledger is None
    assert settings_of(npu_url="http://n", ledger="runs.db").ledger.path == tmp_path / "runs.db"
    settings = settings_of(npu_url="http://n", ledger="postgresql://lab:hunter2@db/runs")
    assert settings.ledger.shown == "postgresql://lab:***@db/runs"
    assert "hunter2" not in repr(settings)


def test_what_is_no_ledger_is_refused_without_its_password(settings_of):
    with pytest.raises(UsageError, match=r"--gptoss-ledger: 'mysql://lab:.*' names no PostgreSQL") as raised:
        settings_of(npu_url="http://n", ledger="mysql://lab:hunter2@db/runs")
    assert "hunter2" not in str(raised.value)


def test_another_language_is_refused(settings_of):
    with pytest.raises(UsageError, match="--gptoss-lang is 'fr': it takes en or zh"):
        settings_of(npu_url="http://n", lang="fr")
