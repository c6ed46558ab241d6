"""SIGTERM, as a CI runner's cancel or time-out: the run ends as after Ctrl-C, and soon."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from small_server import Hold, measured, small_server
from starting import output_after, started_as_a_terminal_does

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody sends SIGTERM there")

WITHIN_S = 10.0
"""On a machine that is free for it; one that is busy with other work gets longer, as ``slowness`` says."""


def slowness():
    """How many times longer than its own need a computation takes on this machine now; 1 when it is free."""
    began, needed = time.monotonic(), time.process_time()
    while time.process_time() - needed < 0.2:
        pass
    return max(1.0, (time.monotonic() - began) / 0.2)


def started(pytester, *arguments, **more):
    """Without hypothesis, which is imported for the summary of every process and takes seconds for it."""
    return started_as_a_terminal_does(pytester, "-p", "no:hypothesispytest", *arguments, **more)


def to_the_process(process):
    process.send_signal(signal.SIGTERM)


def to_the_group(process):
    """As ``timeout`` does: to the process, and once more to it and all of its children."""
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)


def interrupted(process, reached, send=to_the_process):
    """What the process has printed when it has ended, which it must do in time."""
    sent = []

    def act():
        sent.append((slowness(), time.monotonic()))
        send(process)

    output = output_after(process, reached, act)
    slow, began = sent[0]
    took = time.monotonic() - began
    assert took < WITHIN_S * max(slow, slowness()), output
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "SIGTERM ended the run" in output
    return output


def reports(directory):
    """acceptance.json of an interrupted run, and JUnit's properties of its suite."""
    document = json.loads((directory / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    assert (document["state"], document["run"]["verdict"]) == ("interrupted", "INCOMPLETE")
    assert (directory / "gptoss-report" / "acceptance.md").is_file()
    suite = ET.parse(directory / "out.xml").getroot().find("testsuite")
    told = {each.get("name"): each.get("value") for each in suite.iter("property")}
    return document, told


@pytest.mark.parametrize(
    ("workers", "send", "ctrl_c"),
    [
        (0, to_the_process, "heard"),
        (0, to_the_group, "ignored"),
        (2, to_the_process, "heard"),
        (2, to_the_group, "ignored"),
    ],
)
def test_what_was_measured_is_reported(pytester, few_prompts, workers, send, ctrl_c):
    hold = Hold(measured, 3)
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)" if ctrl_c == "ignored" else ""
    with small_server(hold) as npu:
        process = started(
            pytester, f"--npu-url={npu}", "--gptoss-profile=embedded", f"--gptoss-prompts={few_prompts}",
            "-k", "leakage or ready", "--junitxml=out.xml", *(["-n", str(workers)] if workers else []),
            before=ignore, start_new_session=True,
        )  # fmt: skip
        interrupted(process, hold.reached, send)
    document, told = reports(pytester.path)
    greedy = next(each for each in document["measurements"]["scenarios"] if each["id"].startswith("greedy-"))
    assert (greedy["items"], greedy["complete"]) == (3, False)
    assert "measuring was interrupted by SIGTERM" in greedy["failures"][0]["message"]
    assert any("interrupted" in (value or "") for value in told.values()), told


def test_under_load(pytester):
    hold = Hold(lambda path, body: body.get("min_tokens") == 40, 4)
    with small_server(hold) as npu:
        process = started(
            pytester, f"--npu-url={npu}", "--gptoss-profile=embedded", "-k", "completed and c01",
            "--gptoss-num-requests=16", "--gptoss-max-tokens=40", "--gptoss-no-calibration",
            "--junitxml=out.xml",
        )  # fmt: skip
        interrupted(process, hold.reached)
    document, _ = reports(pytester.path)
    level = document["measurements"]["load"]["levels"][0]
    assert (level["completed"], level["complete"]) == (4, False)


@pytest.mark.parametrize("workers", [0, 2])
def test_while_servers_are_being_started(pytester, workers):
    process = started(
        pytester, "--embedded", "-k", "leakage", "--junitxml=out.xml", "-s",
        *(["-n", str(workers)] if workers else []), bufsize=1, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if "starting the embedded pair" in line:
            break
    reached = threading.Event()
    reached.set()
    children = []

    def send(process):
        children.extend(_children(process.pid))
        to_the_process(process)

    interrupted(process, reached, send)
    reports(pytester.path)
    assert not [child for child in children if _alive(child)], said


def test_the_command_keeps_its_report_and_ends_with_130(pytester, few_prompts):
    hold = Hold(measured, 3)
    with small_server(hold) as npu:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_gptoss.cli", "verify-precision", "--npu-url", npu,
             "--test-prompts", str(few_prompts), "--gptoss-profile=embedded", "--output", "mine.json",
             "-k", "leakage", "-p", "no:hypothesispytest"],
            cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        output = output_after(process, hold.reached, lambda: to_the_process(process))
    assert process.returncode == 130, output
    assert json.loads((pytester.path / "mine.json").read_text("utf-8"))["state"] == "interrupted"


def test_a_users_handler_and_other_runs_are_left_alone(pytester):
    """Without a device nothing is installed; with one the user's own handler stays, and is asked."""
    pytester.makeconftest(
        """
        import os, signal

        def pytest_configure(config):
            if "MINE" in os.environ:
                signal.signal(signal.SIGTERM, lambda number, frame: print("mine was asked"))
        """
    )
    pytester.makepyfile(
        """
        import os, signal

        def test_plain():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

        def test_mine(gptoss_session):
            os.kill(os.getpid(), signal.SIGTERM)

        def test_ours(gptoss_session):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        """
    )
    script = (
        "import signal, sys, pytest\n"
        "status = pytest.main(sys.argv[1:])\n"
        "print('default' if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else 'other')\n"
        "sys.exit(status)\n"
    )

    def run(name, *, mine=False):
        return subprocess.run(
            [sys.executable, "-c", script, "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-s",
             "-k", name,
             *([] if name == "plain" else ["--npu-url=http://127.0.0.1:9"])],
            cwd=pytester.path, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, **({"MINE": "1"} if mine else {})},
        )  # fmt: skip

    for name in ("plain", "ours"):
        done = run(name)
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-1] == "default"
    done = run("mine", mine=True)
    assert done.returncode == 0, done.stdout
    assert "mine was asked" in done.stdout
    assert done.stdout.splitlines()[-1] == "other"


def _children(pid):
    return [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == pid]


def _parent(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return None


def _alive(pid):
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
