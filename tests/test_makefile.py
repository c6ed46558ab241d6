"""The Makefile's commands, run dry or with an interpreter that only records what it is asked for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("environment", "demo", "test", "lint", "docs", "gallery", "clean")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make: the README gives the lines")

INTERPRETER = """#!/bin/sh
# Python {version}, with or without what makes environments; it tells pip's and pytest's arguments.
case "$*" in
    *version_info*) echo {version} ;;
    "-c import venv, ensurepip") {venv} ;;
    "-c import torch") false ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip --version") [ "${{0##*/bin/}}" = python ] ;;
    "-m pip install "*) echo "pip was asked for: $*"; {pip} ;;
    "-m pytest "*) echo "pytest was asked for: $*" ;;
esac
"""


@pytest.fixture
def interpreter(tmp_path):
    def make(version="3.12", venv="true", pip="true"):
        path = tmp_path / "fake-python"
        path.write_text(INTERPRETER.format(version=version, venv=venv, pip=pip), "utf-8")
        path.chmod(0o755)
        return path

    return make


def _make(*arguments):
    # `make test` runs these tests: what it says to the makes below it is not for this one.
    outer = ("TORCH_INDEX", "PYTHON", "VENV", "ARGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    ours = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", "--no-print-directory", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=ours,
    )  # fmt: skip


def test_alone_it_lists_every_command():
    done = _make()
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^make ([a-z]+) ", done.stdout, re.MULTILINE)
    assert set(listed) == {"help", *TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_can_be_run_dry(target, tmp_path):
    done = _make("-n", target, f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("demo", "-m pytest --embedded"),
        ("test", "-m pytest tests --ignore=tests/acceptance"),
        ("docs", "-m mkdocs build --strict"),
        ("gallery", "tools/gallery.py"),
        ("lint", "-m ruff check ."),
        ("lint", "-m mypy"),
    ],
)
def test_a_command_runs_in_the_environment(target, words, tmp_path):
    folder = tmp_path / "venv"
    assert words in _make("-n", target, f"VENV={folder}").stdout
    line = next(line for line in _make("-n", target, f"VENV={folder}").stdout.splitlines() if words in line)
    assert line.startswith(f"{folder}/bin/python ")


def test_the_demo_makes_the_environment_says_so_and_uses_it_again(tmp_path, interpreter):
    variables = (f"VENV={tmp_path / 'venv'}", f"PYTHON={interpreter()}")
    first = _make("demo", *variables, "ARGS=-k hidden")
    assert first.returncode == 0, first.stderr
    assert f"environment: making {tmp_path / 'venv'} with Python 3.12" in first.stdout
    assert "-e .[dev]" in first.stdout
    assert "== demo: pytest --embedded" in first.stdout
    assert "pytest was asked for: -m pytest --embedded -k hidden" in first.stdout
    again = _make("demo", *variables)
    assert again.returncode == 0, again.stderr
    assert "pip was asked for" not in again.stdout
    assert "is ready" in again.stdout
    assert "pytest was asked for: -m pytest --embedded" in again.stdout


def test_it_is_installed_again_after_a_change_of_the_project(tmp_path, interpreter):
    variables = (f"VENV={tmp_path / 'venv'}", f"PYTHON={interpreter()}")
    assert _make("environment", *variables).returncode == 0
    os.utime(tmp_path / "venv" / ".installed-dev", (0, 0))
    again = _make("environment", *variables)
    assert "is there, bringing it up to date" in again.stdout
    assert "pip was asked for" in again.stdout


def test_an_index_for_pytorch_is_passed_to_pip(tmp_path, interpreter):
    variables = (f"VENV={tmp_path / 'venv'}", f"PYTHON={interpreter()}")
    done = _make("environment", *variables, f"TORCH_INDEX={CPU_INDEX}")
    assert f"--extra-index-url {CPU_INDEX} -e .[dev]" in done.stdout
    without = _make("environment", *variables, f"VENV={tmp_path / 'other'}")
    (asked,) = (line for line in without.stdout.splitlines() if line.startswith("pip was asked for"))
    assert "--extra-index-url" not in asked
    if os.uname().sysname == "Linux":
        assert f"TORCH_INDEX={CPU_INDEX}" in without.stdout


@pytest.mark.parametrize(
    ("fake", "words"),
    [
        ({"version": "3.9"}, "is Python 3.9: 3.10 to 3.13 is needed; name one, as PYTHON=python3.12"),
        ({"version": "2.7"}, "is Python 2.7"),
        ({"version": "3.14"}, "is Python 3.14"),
        ({"venv": "false"}, "has no venv module: apt-get install python3.12-venv"),
        ({"pip": "false"}, "pip could not install the project"),
    ],
)
def test_what_is_missing_is_said_in_one_line(fake, words, tmp_path, interpreter):
    done = _make("demo", f"VENV={tmp_path / 'venv'}", f"PYTHON={interpreter(**fake)}")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(said) == 1
    assert words in said[0]
    assert not (tmp_path / "venv" / ".installed-dev").exists()


def test_no_interpreter_at_all_says_what_to_install(tmp_path):
    done = _make("demo", f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "PYTHON is 'no-such-python', which does not run: install Python 3.10 to 3.13" in done.stderr
