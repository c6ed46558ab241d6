"""Servers that a run starts by its own commands: judged as any, and ended whatever ends the run."""

import sys
import time
from pathlib import Path

import pytest
from starting import output_after_ctrl_c, started_as_a_terminal_does

from pytest_gptoss.servers.embedded import PINNED_DATE

pytest_plugins = ["pytester"]

ROWS = ("-k", "inputs_identical or token_match")


def serve(*more):
    """The command line of a reference server; MANAGED_IN in its environment tells whose it is."""
    words = (sys.executable, "-m", "pytest_gptoss.reference", "--model", "tiny", "--port", "{port}")
    return " ".join((*words, "--served-model-name", "gpt-oss-20b", *more))


@pytest.fixture
def managed(pytester):
    """The options of two configurations and a GPU, none of which runs yet."""
    return [
        f"--npu-serve=one={serve('--dtype', 'bfloat16', '--threads', '1')}",
        f"--npu-serve=two={serve('--dtype', 'bfloat16', '--threads', '1', '--defect', 'zero-expert')}",
        f"--gpu-serve={serve('--dtype', 'float32', '--threads', '1')}",
        f"--gptoss-serve-env=VLLM_SYSTEM_START_DATE={PINNED_DATE}",
        f"--gptoss-serve-env=MANAGED_IN={pytester.path}",
    ]


def serving(path):
    """Processes that were started with this folder in their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"MANAGED_IN={path}".encode() in (each / "environ").read_bytes().split(b"\0")
            state = (each / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if is_ours and state != "Z":
            found.append(int(each.name))
    return found


def none_left(path):
    """Whether all have ended, a moment after the run at the latest."""
    deadline = time.monotonic() + 30
    while serving(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not serving(path)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_configurations_run_in_turn_and_the_broken_one_is_named(accept, managed, report, pytester, workers):
    result = accept(*managed, *ROWS, *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stdout.str()
    judged = {(row["npu"], row["threshold_id"]): row["verdict"] for row in report()["verdicts"]}
    assert judged["one", "precision.token_match_rate"] == "PASS"
    assert judged["two", "precision.token_match_rate"] == "FAIL"
    assert judged["two", "configuration.inputs_identical"] == "PASS"
    assert judged["two", "configuration.token_match_rate"] == "FAIL"
    logs = pytester.path / "gptoss-report" / "servers"
    assert sorted(each.stem for each in logs.iterdir()) == ["gpu", "one", "two"]
    assert none_left(pytester.path)


def test_ctrl_c_ends_them_and_keeps_what_was_measured(pytester, managed, few_prompts, report):
    process = started_as_a_terminal_does(
        pytester, *managed, "--gptoss-profile=embedded", f"--gptoss-prompts={few_prompts}", *ROWS,
    )  # fmt: skip
    measuring = Measuring(pytester.path)
    output = output_after_ctrl_c(process, measuring)
    assert measuring.serving, "the servers carry the mark by which they are looked for afterwards"
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    document = report()
    assert (document["state"], document["run"]["verdict"]) == ("interrupted", "INCOMPLETE")
    assert none_left(pytester.path)


class Measuring:
    """Is set once a configuration has been met and its server runs."""

    def __init__(self, path):
        self._path = path
        self._log = path / "gptoss-report" / "servers" / "one.log"
        self.serving = []

    def wait(self, timeout):
        time.sleep(timeout)
        ready = self._log.is_file() and "url" in self._log.read_text("utf-8", "replace")
        self.serving = serving(self._path) if ready else []
        return ready
