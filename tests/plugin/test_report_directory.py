"""Where reports cannot be written: said in a line, and what was measured is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]

AS_A_USER = """
class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
class Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]
header, sets = Header(0x20080522, 0), (Sets * 2)()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.capget(ctypes.byref(header), sets) == 0
sets[0].effective &= ~0b111  # chown, and the two that let root write and read everything
assert libc.capset(ctypes.byref(header), sets) == 0
"""
"""Root writes into directories that are read-only; without these capabilities it does not."""


def run(pytester, *arguments, before=""):
    script = f"import ctypes, sys, pytest\n{before}\nsys.exit(pytest.main(sys.argv[1:]))\n"
    return subprocess.run(
        [sys.executable, "-c", script, str(acceptance_tests()), "-p", "no:cacheprovider",
         "--gptoss-profile=embedded", *arguments],
        cwd=pytester.path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def _said_in_a_line(done):
    lines = [line for line in done.stderr.splitlines() if "gptoss" in line]
    assert lines
    assert "--gptoss-report" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_read_only_directory_is_a_usage_error(pytester):
    closed = pytester.mkdir("closed")
    closed.chmod(0o555)
    done = run(pytester, "--npu-url=http://127.0.0.1:9", "--gptoss-report=closed", before=AS_A_USER)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    _said_in_a_line(done)
    assert "Permission denied" in done.stderr
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="this system knows no limit on file sizes")
def test_a_disk_that_is_full_at_the_end_keeps_what_was_measured(pytester, embedded_pair, few_prompts):
    """The disk is full when the reports are due: the run is red, its measurements are there."""
    pytester.makepyfile(
        full_disk="""
        import resource

        def pytest_runtest_logfinish():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        """
    )
    done = run(
        pytester, f"--npu-url={embedded_pair['npu']}", f"--gptoss-prompts={few_prompts}", "-k", "leakage",
        "-p", "full_disk",
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "the reports could not be written" in done.stdout
    assert "--gptoss-report DIR" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    kept = pytester.path / "gptoss-report"
    assert json.loads((kept / "acceptance.json").read_text())["state"] == "running"
    greedy = json.loads((kept / "run" / "measurements" / "greedy-npu-precision-c1-r0.json").read_text())
    assert len(greedy["items"]) == 6
    again = run(pytester, "--gptoss-replay=gptoss-report", "--gptoss-report=second", "-k", "leakage")
    assert again.returncode == pytest.ExitCode.OK, again.stdout


@pytest.mark.parametrize("target", ["a file", "nothing"])
def test_a_path_that_cannot_be_a_directory_is_a_usage_error(pytester, target):
    if target == "a file":
        (pytester.path / "gptoss-report").write_text("mine")
    else:
        (pytester.path / "gptoss-report").symlink_to(pytester.path / "gone" / "away")
    done = run(pytester, "--npu-url=http://127.0.0.1:9")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    _said_in_a_line(done)
    if target == "a file":
        assert (pytester.path / "gptoss-report").read_text() == "mine"


def test_links_are_followed_to_the_directory_and_never_written_through(pytester):
    """The report directory may be a link. Links inside it are replaced: a file elsewhere stays as it is."""
    elsewhere = pytester.mkdir("elsewhere")
    mine = pytester.path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "acceptance.json").write_text("mine")
    (mine / "deep" / "kept").write_text("mine")
    (pytester.path / "gptoss-report").symlink_to(elsewhere)
    (elsewhere / "acceptance.json").symlink_to(mine / "acceptance.json")
    (elsewhere / "run").symlink_to(mine / "deep")
    for _ in range(2):
        done = run(pytester, "--npu-url=http://127.0.0.1:9", "--gptoss-ready-timeout=1", "-k", "leakage")
        assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert json.loads((elsewhere / "acceptance.json").read_text())["state"] == "finished"
    assert (mine / "acceptance.json").read_text() == "mine"
    assert {path.name for path in mine.rglob("*")} == {"acceptance.json", "deep", "kept"}
    assert os.path.realpath(elsewhere / "run") == str(elsewhere / "run")


HOOK = """
import datetime, pathlib

def pytest_gptoss_report(config, document):
    document["run"]["where"] = pathlib.Path("rack") / "7"
    document["run"]["when"] = datetime.date(2026, 11, 26)
    document["run"]["worst"] = float("nan")
    {then}
"""


@pytest.mark.parametrize("then", ["pass", "raise KeyError('rack')", "document['verdicts'][0].clear()"])
def test_a_hook_that_fails_or_adds_what_json_cannot_hold_costs_no_report(then, pytester):
    pytester.makeconftest(HOOK.format(then=then))
    pytester.makepyfile("def test_its_own(): pass")
    done = run(
        pytester, "--npu-url=http://127.0.0.1:9", "--gptoss-ready-timeout=1", "-k", "leakage or its_own",
        "--junitxml=acceptance.xml", f"--confcutdir={pytester.path}", str(pytester.path),
        f"--rootdir={pytester.path}",
    )  # fmt: skip
    assert "INTERNALERROR" not in done.stdout + done.stderr
    kept = pytester.path / "gptoss-report"
    document = json.loads((kept / "acceptance.json").read_text())
    assert document["state"] == "finished"
    assert (document["run"]["where"], document["run"]["worst"]) == (str(Path("rack") / "7"), None)
    assert document["run"]["when"] == "2026-11-26"
    assert (pytester.path / "acceptance.xml").is_file()
    if "KeyError" in then:
        assert "a pytest_gptoss_report hook failed: KeyError: 'rack'" in done.stdout
        assert (kept / "acceptance.md").is_file()
        assert (kept / "benchmark_report.json").is_file()
    elif "clear" in then:
        assert "the reports of the kind md could not be written: KeyError" in done.stdout


def test_a_directory_in_a_reports_place_is_a_usage_error(pytester):
    (pytester.path / "gptoss-report" / "acceptance.html").mkdir(parents=True)
    done = run(pytester, "--npu-url=http://127.0.0.1:9", "-k", "leakage")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    _said_in_a_line(done)
    assert "move it away" in done.stderr


def test_a_report_that_cannot_be_made_turns_a_green_run_red(pytester, embedded_pair, few_prompts):
    pytester.makeconftest("def pytest_gptoss_report(config, document):\n    raise RuntimeError('no')\n")
    done = run(
        pytester, f"--npu-url={embedded_pair['npu']}", f"--gptoss-prompts={few_prompts}", "-k", "leakage",
        "-p", "conftest",
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "a pytest_gptoss_report hook failed: RuntimeError: no" in done.stdout
    assert (pytester.path / "gptoss-report" / "acceptance.html").is_file()
