"""The page about extending keeps its word: every addition on it works, and each forgotten part is told.

The page's additions do not touch each other, so each round has all of them: the first with every part,
the others with one part of each addition left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest
from extending_page import PAGE, ROOT, Part, block, parts

import pytest_gptoss
from pytest_gptoss.config.plan import Extensions, make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.plugin import hookspecs

CHECKS = "tests/docs/extended_checks.py"
COPIED = (
    "pytest_gptoss",
    "tests/config",
    "tests/judge",
    "tests/scenarios",
    "tests/report",
    "tests/test_architecture.py",
)
# Without conftest.py, which imports hypothesis for tests that are not named here.
LINKED = (
    "fixtures",
    "tests/acceptance",
    "pyproject.toml",
    "conftest.py",
    "README.md",
    "README.zh-CN.md",
    "docs",
)
PARTS = parts()
ADDITIONS = tuple(dict.fromkeys(part.addition for part in PARTS))
FORGETTABLE = [part for part in PARTS if part.forgotten is not None]
EXPECTED = (
    "A metric", "A scenario kind", "A report format", "An option", "A needle cell", "A load level",
    "A capability row", "A condition", "A failure signature",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """What a run of the named tests said: each failure's text, by the test's name or its file."""

    failed: dict[str, str]
    passed: frozenset[str]
    output: str

    def said_of(self, test: str, file: str) -> str:
        """What a test, or the collection of its file, failed with; empty when it passed."""
        stem = file.removesuffix(".py").replace("/", ".")
        return "\n".join(text for name, text in self.failed.items() if name in (test, stem))


def _left_out(addition: str, number: int) -> Part | None:
    own = [part for part in FORGETTABLE if part.addition == addition]
    return own[number] if number < len(own) else None


ROUNDS = max(len([part for part in FORGETTABLE if part.addition == each]) for each in ADDITIONS)


@pytest.fixture(scope="module")
def run_round(tmp_path_factory):
    """Run tests that the page names in a copy of the package, with the parts of a round left out.

    The one copy is used again: what was compiled for a round need not be for the next.
    """
    copy = tmp_path_factory.mktemp("copy")
    _copy_package(copy)

    def run(left_out: list[Part], tests: list[str]) -> Round:
        for name in {part.file for part in PARTS}:
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, copy / name)
            else:
                (copy / name).unlink(missing_ok=True)
        for part in PARTS:
            if part not in left_out:
                part.apply(copy)
        return _run(copy, tests)

    return run


def _chosen(named: list[Part]) -> list[str]:
    """Arguments for the tests of these parts: files, since one that cannot be collected hides no other."""
    names = " or ".join(sorted({part.forgotten.test for part in named}))
    return ["-k", f"{names} or extended_checks", *sorted({part.forgotten.file for part in named})]


def _copy_package(copy: Path) -> None:
    (copy / "tests" / "docs").mkdir(parents=True)
    shutil.copy2(ROOT / CHECKS, copy / CHECKS)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, copy / name)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)


def _run(copy: Path, tests: list[str]) -> Round:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--continue-on-collection-errors",
         "--junitxml=said.xml", *tests],
        cwd=copy, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )  # fmt: skip
    failed: dict[str, str] = {}
    passed = set()
    for case in ElementTree.parse(copy / "said.xml").iter("testcase"):
        name = re.sub(r"\[.*", "", case.get("name", ""), flags=re.DOTALL)
        said = [f"{each.get('message')}\n{each.text}" for each in case if each.tag in ("failure", "error")]
        if said:
            failed[name] = "\n".join([failed.get(name, ""), *said])
        else:
            passed.add(name)
    return Round(failed, frozenset(passed), done.stdout + done.stderr)


def test_every_kind_of_addition_is_on_the_page():
    assert ADDITIONS == EXPECTED


def test_every_block_of_a_file_is_read():
    """A block whose place is worded otherwise would not be tried."""
    text = PAGE.read_text("utf-8").partition("## A package of your own")[0]
    assert text.count("\n```\n") == len(PARTS)
    assert text.count("\nForgotten: ") == len(FORGETTABLE)


def test_all_additions_together_work(run_round):
    said = run_round([], [*_chosen(FORGETTABLE), CHECKS])
    assert said.failed == {}, said.output
    named = {part.forgotten.test for part in FORGETTABLE}
    assert named <= said.passed
    assert len(said.passed) > len(named) + 8, said.output


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_forgotten_part_is_told(number, run_round):
    left_out = [part for each in ADDITIONS if (part := _left_out(each, number)) is not None]
    said = run_round(left_out, _chosen(left_out))
    for part in left_out:
        told = said.said_of(part.forgotten.test, part.forgotten.file)
        assert part.forgotten.words in told, f"{part.id}: {part.forgotten}\n{said.output}"


@pytest.mark.parametrize(
    ("before", "file"),
    [
        ("Its `pyproject.toml`:", "pyproject.toml"),
        ("Its module `acme_gptoss/__init__.py`:", "acme_gptoss/__init__.py"),
        (
            "Its profile `acme_gptoss/acme.toml`, which adds a row to a shipped profile:",
            "acme_gptoss/acme.toml",
        ),
    ],
)
def test_the_package_of_the_page_is_the_one_that_is_installed(before, file):
    package = ROOT / "tests" / "plugin_package"
    assert block(before).strip() in (package / file).read_text("utf-8")


def test_the_hooks_of_the_page_are_the_plugins_and_work():
    names: dict[str, object] = {}
    exec(compile(block("In your `conftest.py`:"), "conftest.py", "exec"), names)
    specified = {name for name in vars(hookspecs) if name.startswith("pytest_gptoss_")}
    assert {name for name in names if name.startswith("pytest_gptoss_")} == specified

    def extend(extensions: Extensions) -> None:
        names["pytest_gptoss_thresholds"](extensions.thresholds, extensions.metrics)

    row = make_plan(Settings(), extend).thresholds["ours.longest_answer"]
    assert (row.limit, row.source) == (256, "our house rule")
    assert names["pytest_gptoss_prompt_sets"](None) == {"support": "prompts/support.json"}
    document: dict[str, dict[str, dict[str, str]]] = {"run": {"info": {}}}
    names["pytest_gptoss_report"](None, document)
    assert document["run"]["info"] == {"site": "rack 7"}


def test_the_public_names_of_the_page_are_all_there_are():
    section = PAGE.read_text("utf-8").partition("## Public names")[2]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(pytest_gptoss.__all__) - {"__version__"}
