"""Ctrl-C and a full disk: what was measured stays, nothing is left running, no traceback."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from altering_proxy import altering_proxy
from starting import output_after_ctrl_c, started_as_a_terminal_does

pytest_plugins = ["pytester"]


def test_ctrl_c_keeps_what_was_measured(pytester, embedded_pair, few_prompts, report):
    reached, count, lock = threading.Event(), [0], threading.Lock()

    def count_chats(path, body):
        if path == "/v1/chat/completions" and body["max_tokens"] > 1:
            with lock:
                count[0] += 1
                if count[0] == 3:
                    reached.set()
        return body

    with altering_proxy(embedded_pair["npu"], request=count_chats) as npu:
        process = started_as_a_terminal_does(
            pytester, f"--npu-url={npu}", f"--gpu-url={embedded_pair['gpu']}", "--gptoss-profile=embedded",
            f"--gptoss-prompts={few_prompts}", "-m", "precision",
        )  # fmt: skip
        output = output_after_ctrl_c(process, reached)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    document = report()
    assert document["state"] == "interrupted"
    assert document["run"]["verdict"] == "INCOMPLETE"
    scenarios = document["measurements"]["scenarios"]
    greedy = {each["device"]: each for each in scenarios if each["id"].startswith("greedy-")}
    assert 1 <= greedy["npu"]["items"] < 6
    assert not greedy["npu"]["complete"]


def test_ctrl_c_under_xdist_tells_what_was_not_reached(pytester, embedded_pair, few_prompts, report):
    """The controller collects nothing and hears no more of its workers: the selection is in the store."""
    reached = threading.Event()

    def first_chat(path, body):
        if path == "/v1/chat/completions" and body["max_tokens"] > 1:
            reached.set()
        return body

    with altering_proxy(embedded_pair["npu"], request=first_chat) as npu:
        process = started_as_a_terminal_does(
            pytester, f"--npu-url={npu}", f"--gpu-url={embedded_pair['gpu']}", "--gptoss-profile=embedded",
            f"--gptoss-prompts={few_prompts}", "-m", "precision", "-n", "2",
        )  # fmt: skip
        output = output_after_ctrl_c(process, reached)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    document = report()
    assert (document["state"], document["run"]["verdict"]) == ("interrupted", "INCOMPLETE")
    why = {row["threshold_id"]: row["why"] for row in document["not_judged"]}
    judged = {row["threshold_id"] for row in document["verdicts"]}
    precision = {name for name in (*why, *judged) if name.startswith(("precision.", "inputs.", "baseline."))}
    assert document["run"]["selected"] == len(precision)
    assert {name for name, each in why.items() if each == "not reached"} == precision - judged
    assert "GPT-OSS acceptance" in output
    assert "INCOMPLETE" in output


def test_ctrl_c_ends_the_servers_that_were_started(pytester):
    process = started_as_a_terminal_does(pytester, "--embedded")
    try:
        for line in process.stdout:
            if "npu:" in line:
                break
        children = _children(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert not [child for child in children if _alive(child)]


def test_a_report_says_running_until_it_is_finished(pytester, embedded_pair, few_prompts):
    seen = []

    def look(path, body):
        if path == "/v1/chat/completions" and body["max_tokens"] > 1:
            document = pytester.path / "gptoss-report" / "acceptance.json"
            seen.append(json.loads(document.read_text("utf-8"))["state"])
        return body

    (pytester.path / "gptoss-report").mkdir()
    (pytester.path / "gptoss-report" / "acceptance.json").write_text('{"state": "finished"}')
    with altering_proxy(embedded_pair["npu"], request=look) as npu:
        process = started_as_a_terminal_does(
            pytester, f"--npu-url={npu}", f"--gpu-url={embedded_pair['gpu']}", "--gptoss-profile=embedded",
            f"--gptoss-prompts={few_prompts}", "-k", "leakage",
        )  # fmt: skip
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert set(seen) == {"running"}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system knows no limit on file sizes")
def test_a_full_disk_is_said_in_a_line(pytester, embedded_pair, few_prompts):
    # Room for the small documents, none for the arrays of a measurement.
    limit = 8_000
    process = started_as_a_terminal_does(
        pytester, f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}",
        "--gptoss-profile=embedded", f"--gptoss-prompts={few_prompts}", "-k", "rouge",
        before=f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))",
    )  # fmt: skip
    output, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.TESTS_FAILED
    assert "--gptoss-report" in output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output


def _children(pid):
    return [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == pid]


def _parent(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return None


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with Path(f"/proc/{pid}/stat").open() as stat:
        return stat.read().split()[2] != "Z"
