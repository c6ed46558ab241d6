"""The CI recipes are whole files: they parse, and their commands name options that exist."""

import re
from pathlib import Path

import pytest

from pytest_gptoss.config.options import OPTION, OPTIONS

yaml = pytest.importorskip("yaml")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text("utf-8")
PYTESTS_OWN = {"--pyargs", "--junitxml"}


def _block(heading, language):
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return block


def _github():
    steps = yaml.safe_load(_block("GitHub", "yaml"))["jobs"]["accept"]["steps"]
    return "\n".join(step.get("run", "") for step in steps)


def _gitlab():
    return "\n".join(yaml.safe_load(_block("GitLab", "yaml"))["acceptance"]["script"])


def _jenkins():
    block = _block("Jenkins", "groovy")
    assert block.count("{") == block.count("}")
    return re.search(r"sh '''(.*?)'''", block, re.DOTALL)[1].replace("\\\n", " ")


@pytest.mark.parametrize("commands", [_github, _gitlab, _jenkins])
def test_its_pytest_command_names_only_options_that_exist(commands):
    (command,) = [line for line in commands().splitlines() if line.strip().startswith("pytest ")]
    named = set(re.findall(r"--[a-z-]+[a-z]", command))
    assert "--pyargs" in named
    assert named - PYTESTS_OWN <= {option.flag for option in OPTIONS}
    assert "--junitxml=acceptance.xml" in command


def test_gitlab_gives_options_by_variables_that_exist():
    variables = yaml.safe_load(_block("GitLab", "yaml"))["acceptance"]["variables"]
    assert set(variables) <= {OPTION[key].env for key in OPTION}


def test_reports_are_kept_when_the_run_fails():
    github = yaml.safe_load(_block("GitHub", "yaml"))["jobs"]["accept"]["steps"]
    kept = [step for step in github if "upload-artifact" in step.get("uses", "")]
    assert [step["if"] for step in kept] == ["always()"]
    assert yaml.safe_load(_block("GitLab", "yaml"))["acceptance"]["artifacts"]["when"] == "always"
