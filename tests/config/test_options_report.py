"""Where reports go, and their language."""

import pytest

from pytest_gptoss.model.errors import UsageError


def test_reports_lie_in_the_directory_the_run_was_started_in(settings_of, tmp_path):
    usual = settings_of(npu_url="http://n")
    assert (usual.report, usual.lang) == (tmp_path / "gptoss-report", "en")
    given = settings_of(npu_url="http://n", report="mine", lang="zh")
    assert (given.report, given.lang) == (tmp_path / "mine", "zh")


def test_another_language_is_refused(settings_of):
    with pytest.raises(UsageError, match="--gptoss-lang is 'fr': it takes en or zh"):
        settings_of(npu_url="http://n", lang="fr")
