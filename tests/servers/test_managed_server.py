"""Servers that a command line of the user's starts: ready, kept, ended with all their children."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pytest_gptoss.diagnosis.log_reading import read_log
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.serve_command import ServeCommand, read_serve_command
from pytest_gptoss.servers import managed
from pytest_gptoss.servers.managed import ManagedServer, container_advice

SMALL = Path(__file__).with_name("small_server.py")
WORDS = (sys.executable, str(SMALL), "--port", "{port}")


def start(tmp_path, *more, environment=None, directory=None, timeout=20.0, tell=lambda _: None, words=WORDS):
    command = ServeCommand((*words, *more), environment or {}, directory)
    return ManagedServer.start("tp1", command, tmp_path / "tp1.log", ready_timeout=timeout, tell=tell)


def refusal(tmp_path, *more, **given):
    with pytest.raises(ReferenceServerError) as raised, start(tmp_path, *more, **given):
        pass
    return str(raised.value)


def gone(pid):
    """Whether a process ends, or has ended, within a few seconds; one that nobody has buried counts."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_server_is_started_kept_and_ended_with_a_child_that_left_its_group(tmp_path):
    said = []
    directory = tmp_path / "here"
    directory.mkdir()
    server = start(
        tmp_path, "--line", "Loading safetensors checkpoint shards:  40% Completed", "--child", "pid",
        directory=directory, tell=said.append,
    )  # fmt: skip
    with server:
        with urllib.request.urlopen(server.url) as answer:
            told = json.load(answer)
        assert told["at"] == str(directory)
        assert "Loading safetensors" in server.told()
        child = int((directory / "pid").read_text())
    assert gone(told["pid"])
    assert gone(child)
    assert "40% Completed" in (tmp_path / "tp1.log").read_text()


def test_what_a_server_says_while_the_suite_ends_it_is_kept_and_is_no_failure(tmp_path):
    dead = "EngineDeadError: EngineCore encountered an issue."
    for more, found in ((("--last-words", dead), []), (("--line", dead), [1])):
        (tmp_path / "tp1.log").unlink(missing_ok=True)
        with start(tmp_path, *more):
            pass
        lines = list(enumerate((tmp_path / "tp1.log").read_text().splitlines(), start=1))
        assert [text for _, text in lines].count(dead) == 1
        read = read_log(lines, load_signatures(), device="npu", file="tp1.log")
        assert [each.line for each in read] == found


def test_a_server_ends_when_its_run_is_killed(tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from pytest_gptoss.model.serve_command import ServeCommand\n"
        "from pytest_gptoss.servers.managed import ManagedServer\n"
        "server = ManagedServer.start('tp1', ServeCommand(tuple(sys.argv[2:])), Path(sys.argv[1]),\n"
        "                             ready_timeout=20, tell=print)\n"
        "print(server.url, flush=True); time.sleep(600)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "log"), *WORDS, "--child", str(tmp_path / "pid")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        url = next(line for line in run.stdout if line.startswith("http")).strip()
        with urllib.request.urlopen(url) as answer:
            pid = json.load(answer)["pid"]
        run.send_signal(signal.SIGKILL)
    assert gone(pid)
    assert gone(int((tmp_path / "pid").read_text()))


def test_secrets_of_the_environment_stay_out_of_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "inherited-secret")
    more = ("--line", "I know $MY_TOKEN and $DB_PASSWORD and $MAX_TOKENS", "--exit", "3")
    given = {"DB_PASSWORD": "hunter2secret", "MAX_TOKENS": "4096"}
    said = refusal(tmp_path, *more, environment=given)
    assert "I know *** and *** and 4096" in said
    assert "ended with status 3" in said
    assert "secret" not in (tmp_path / "tp1.log").read_text()


def test_secrets_of_the_command_line_stay_out_of_the_log(tmp_path):
    more = (
        "--api-key",
        "sk-hidden-1",
        "--line",
        "non-default args: {'api_key': ['sk-hidden-1']}",
        "--exit",
        "3",
    )
    said = refusal(tmp_path, *more)
    assert "'api_key': ['***']" in said
    assert "sk-hidden" not in said + (tmp_path / "tp1.log").read_text()


def test_a_log_that_the_server_writes_itself_is_kept_without_secrets(tmp_path):
    more = ("--log", "{log}", "--line", "token $HF_TOKEN")
    with start(tmp_path, *more, environment={"HF_TOKEN": "hf_abcdef"}) as server:
        assert server.command.logs_itself
    assert "token ***" in (tmp_path / "tp1.log").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--exit", "0"), "ended with status 0 before anything answered: it must run as long as it serves"),
        (("--daemon",), "went on in the background: start it in the foreground"),
        (
            ("--exit", "1", "--line", "OSError: [Errno 98] Address already in use"),
            "is taken by another server",
        ),
        (
            ("--exit", "1", "--line", "ValueError: no such flag"),
            "its log ends with: ValueError: no such flag",
        ),
    ],
)
def test_a_command_that_ends_says_why(tmp_path, more, said):
    assert said in refusal(tmp_path, *more)


def test_a_server_at_another_port_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(managed, "_ELSEWHERE_S", 0.5)
    assert "write {port} where its port is set" in refusal(tmp_path, "--ignore-port")


def test_a_server_that_never_answers_is_told(tmp_path):
    said = refusal(tmp_path, timeout=1.0, words=("sleep", "600"))
    assert "after 1 s: raise --gptoss-ready-timeout" in said


def test_what_cannot_be_started_is_told(tmp_path):
    (tmp_path / "plain").write_text("no program")
    assert "there is no program no-such-vllm" in refusal(tmp_path, words=("no-such-vllm", "{port}"))
    assert "make it executable" in refusal(tmp_path, words=(str(tmp_path / "plain"), "{port}"))


def test_a_port_that_another_server_has_is_told_before_its_answers_are_taken(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(managed, "free_port", lambda: other.getsockname()[1])
        assert "is taken by another server" in refusal(tmp_path)


def test_the_keeper_killed_takes_the_server_with_it(tmp_path):
    with start(tmp_path) as server:
        with urllib.request.urlopen(server.url) as answer:
            pid = json.load(answer)["pid"]
        os.kill(server._keeper.process.pid, signal.SIGKILL)
        assert gone(pid)


def test_a_container_is_told_how_to_end():
    command = read_serve_command("docker run --rm --name oss -p {port}:8000 vllm/vllm-openai")
    assert container_advice("tp1", command).endswith("docker stop oss")
    assert container_advice("tp1", read_serve_command("vllm serve m --port {port}")) is None
    assert read_serve_command("podman run -d -p {port}:8000 image").detached


@pytest.mark.parametrize(
    ("line", "program", "detached"),
    [
        ("sudo docker run -p {port}:8000 image", "docker", False),
        ("sudo -u me -E env -u X Y=1 /usr/bin/podman run -itd -p {port}:8000 image", "podman", True),
        ("docker run -dit -p {port}:8000 image", "docker", True),
        ("docker compose up -d --port {port}", "docker", True),
        ("docker run -p {port}:8000 image vllm serve m -dp 2", "docker", False),
        ("env -u X vllm serve m --port {port}", None, False),
        ("sudo {port}", None, False),
    ],
)
def test_a_container_is_known_behind_other_programs(line, program, detached):
    command = read_serve_command(line)
    assert (command.container, command.detached) == (program, detached)


def test_a_container_that_did_not_start_is_told_how_to_end(tmp_path):
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    told = []
    with pytest.raises(ReferenceServerError):
        ManagedServer.start(
            "tp1", read_serve_command(f"{docker} run --name oss -d -p {{port}}:8000 image"), tmp_path / "log",
            ready_timeout=5, tell=told.append,
        )  # fmt: skip
    assert told[-1].endswith("docker stop oss")
