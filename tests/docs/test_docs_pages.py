"""The pages that are made from the program are current and leave nothing out."""

import re
import sys
from pathlib import Path

import pytest

import pytest_gptoss
from pytest_gptoss.cli.main import command_parser
from pytest_gptoss.config.options import OPTIONS
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.wording import catalogue

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "tools"))

import docs_pages  # noqa: E402
import docs_rows  # noqa: E402

FLAG = re.compile(r"--(?:gptoss-[a-z-]+[a-z]|[ncg]pu-(?:url|label)|embedded)\b")
PATHS = {"en": DOCS / "rows.md", "zh": DOCS / "zh" / "rows.md"}


@pytest.mark.parametrize("name", docs_pages.PAGES)
def test_the_page_is_what_the_tool_makes(name):
    made = docs_pages.PAGES[name]()
    assert (DOCS / name).read_text("utf-8") == made, "run python tools/docs_pages.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_of_every_profile_is_on_the_page(language):
    page = PATHS[language].read_text("utf-8")
    for profile in profile_names():
        for row in load_profile(profile).thresholds.values():
            assert re.search(rf"^\| `{re.escape(row.id)}` \| [^|]*\b{profile}\b", page, re.MULTILINE), row.id


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("word", docs_rows.WORDS)
def test_a_row_without_description_makes_no_page(monkeypatch, language, word):
    without = {key: text for key, text in catalogue().items() if key != f"about.precision.kl.{word}"}
    monkeypatch.setattr("pytest_gptoss.report.wording.catalogue", lambda: without)
    with pytest.raises(KeyError, match=rf"about\.precision\.kl\.{word}"):
        docs_rows.rows_page(language)


def test_every_description_is_of_a_row():
    described = {key.partition(".")[2].rpartition(".")[0] for key in catalogue() if key.startswith("about.")}
    assert described == {row.key for row in docs_rows.rows()}


def test_every_option_and_command_is_on_the_page_with_its_variable():
    page = (DOCS / "options.md").read_text("utf-8")
    for option in OPTIONS:
        assert f"### `{option.flag}" in page
        assert option.env in page
        assert f"`{option.ini}`" in page
    commands = re.findall(r"^### `pytest-gptoss ([a-z-]+)`$", page, re.MULTILINE)
    (subcommands,) = [
        action.choices for action in command_parser()._actions if isinstance(action.choices, dict)
    ]
    assert set(commands) == set(subcommands)


def test_every_public_name_is_on_the_page():
    page = (DOCS / "api.md").read_text("utf-8")
    named = set(re.findall(r"\b\w+\b", page))
    assert set(pytest_gptoss.__all__) - {"__version__"} <= named


def test_documents_name_no_option_that_is_not_built():
    built = {option.flag for option in OPTIONS}
    for path in DOCS.rglob("*.md"):
        named = set(FLAG.findall(path.read_text("utf-8"))) - {"--gptoss-report-title"}  # extending's example
        assert named <= built, path.name


def test_the_chinese_steps_use_what_the_english_ones_use():
    english, chinese = ((DOCS / place / "ascend.md").read_text("utf-8") for place in (".", "zh"))
    used = set(re.findall(r"--[a-z][a-z-]+[a-z]", chinese))
    assert len(used) > 30
    assert used <= set(re.findall(r"--[a-z][a-z-]+[a-z]", english))
