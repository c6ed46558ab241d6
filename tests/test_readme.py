"""The README keeps its word: its threshold table is the shipped one, its options exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gptoss.config.options import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_threshold_table_is_current():
    tool = ROOT / "tools" / "make_threshold_table.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_option_it_names_is_built():
    built = {option.flag for option in OPTIONS}
    named = set(
        re.findall(r"--(?:gptoss-[a-z-]+|npu-(?:url|label)|gpu-(?:url|label)|cpu-url|embedded)", README)
    )
    assert named
    assert named <= built


def test_the_chinese_readme_lacks_no_option_and_no_command():
    chinese = (ROOT / "README.zh-CN.md").read_text("utf-8")
    flags, commands = r"--[a-z][a-z-]+", r"pytest-gptoss [a-z-]+"
    for pattern in (flags, commands):
        assert set(re.findall(pattern, README)) <= set(re.findall(pattern, chinese))


def test_no_machine_and_no_development_is_in_the_tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone: there is no list of tracked files")
    here = [f"{place}/".encode() for place in (ROOT, Path.home())]
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            assert not [place for place in here if place in path.read_bytes()], name
