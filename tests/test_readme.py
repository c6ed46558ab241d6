"""The threshold table is the shipped one, and no file tells of a machine. Commands: ``tests/docs``."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_threshold_table_is_current():
    tool = ROOT / "tools" / "make_threshold_table.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_machine_and_no_development_is_in_the_tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone: there is no list of tracked files")
    here = [f"{place}/".encode() for place in (ROOT, Path.home())]
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            assert not [place for place in here if place in path.read_bytes()], name
