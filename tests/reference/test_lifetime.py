"""The server as a process: how it starts, refuses to start, and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.servers.embedded import start_reference
from pytest_gptoss.servers.process import ServerProcess

BOUND_S = 60
CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "stream": True}


def connect(url):
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port), timeout=BOUND_S)


def refuses(url):
    """Whether nothing listens any more; the kernel takes its time to close the sockets of the dead."""
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        try:
            connect(url).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
    return False


def command(*arguments):
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pytest_gptoss.reference", *arguments],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def refusal(done):
    """The one line that a refusal is."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert all(line.startswith("reference: ") for line in lines[:-1])
    return lines[-1]


# -- refusing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["--model is missing", "'tiny'"]),
        (["--model", "no/such/folder"], ["no/such/folder"]),
        (["--model", "tiny", "--defect", "gremlins"], ["gremlins", "no-sinks"]),
        (["--model", "tiny", "--dtype", "int8"], ["int8", "--help"]),
        (["--model", "tiny", "--port", "99999"], ["99999"]),
        (["--model", "tiny", "--threads", "0"], ["--threads", "less than 1"]),
        (["--model", "tiny", "--max-model-len", "999999999"], ["--max-model-len 999999999"]),
        (["--model", "tiny", "--max-num-batched-tokens", "8"], ["tokens 8", "--max-num-seqs 16"]),
        (["--model", "tiny", "--kv-cache-tokens", "9"], ["--kv-cache-tokens 9"]),
        (["--model", "tiny", "--nonsense"], ["--nonsense"]),
        (["export"], ["DIR"]),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, parts):
    line = refusal(command(*arguments))
    assert all(part in line for part in parts), line


def test_a_port_in_use_is_known_before_the_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("--model", "tiny", "--port", str(port))
    assert f"--port {port}" in refusal(done)
    assert "loading" not in done.stderr


@pytest.mark.parametrize("missing", ["torch", "openai_harmony", "starlette", "uvicorn"])
def test_a_missing_package_names_the_extra(missing):
    script = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv = ['reference', '--model', 'tiny']; "
        "runpy.run_module('pytest_gptoss.reference', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=BOUND_S, check=False
    )
    line = refusal(done)
    assert missing in line
    assert "pip install 'pytest-gptoss[reference]'" in line


def test_defect_list_explains_every_defect():
    from pytest_gptoss.reference.defects import DEFECTS

    done = command("--defect", "list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(DEFECTS)
    assert all(defect.explanation in done.stdout for defect in DEFECTS.values())


def test_a_server_that_does_not_start_says_why():
    with pytest.raises(ReferenceServerError, match="error: --model 'no/such/folder'"):
        start_reference("no/such/folder", "float32")


def test_a_server_that_is_not_ready_in_time_is_stopped():
    with pytest.raises(ReferenceServerError, match="not start"):
        start_reference("tiny", "float32", ready_timeout=0.01)


# -- ending ---------------------------------------------------------------------------------------


@pytest.fixture
def interruptible():
    """Children of a shell's background job inherit that Ctrl-C is ignored: undo that for ours."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("interruptible")
def test_a_signal_ends_it_while_it_is_answering(reference_server, number):
    server = reference_server(defect="stall")
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=CHAT, timeout=BOUND_S) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: ")
        server.process.send_signal(number)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert server.process.wait(BOUND_S) == -number


EMBEDDED = (
    "from pytest_gptoss.servers.embedded import start_reference; print(start_reference('tiny', 'float32').url"
)
BY_HAND = (
    "import json, subprocess, sys; "
    "command = [sys.executable, '-m', 'pytest_gptoss.reference', '--model', 'tiny']; "
    "server = subprocess.Popen(command, stdout=subprocess.PIPE); "
    "print(json.loads(server.stdout.readline())['url']"
)


@pytest.mark.parametrize("start", [EMBEDDED, BY_HAND], ids=["embedded", "by hand"])
def test_it_ends_when_its_parent_is_killed(start):
    script = f"{start}, flush=True); import threading; threading.Event().wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            url = parent.stdout.readline().strip()
            with connect(url) as connection:
                parent.kill()
                assert connection.recv(1) == b""
        finally:
            parent.kill()
    assert refuses(url)


def test_a_key_in_the_environment_guards_v1_and_shows_nowhere(tmp_path):
    key = "sesame-opens-4711"
    log = tmp_path / "server.log"
    with start_reference("tiny", "float32", environment={"VLLM_API_KEY": key}, log_file=log) as server:
        wrong, right = (
            httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {each}"})
            for each in ("wrong", key)
        )
        page = httpx.get(f"{server.url}/metrics")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "Unauthorized"})
    assert right.status_code == page.status_code == 200
    for text in (log.read_text(), right.text, page.text):
        assert key not in text


def test_the_ready_line_is_all_it_prints():
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_gptoss.reference", "--model", "tiny", "--defect", "wrong-date"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            ready = json.loads(process.stdout.readline())
            assert httpx.get(f"{ready['url']}/version").json()["defect"] == ready["defect"] == "wrong-date"
        finally:
            process.terminate()
        rest, log = process.communicate(timeout=BOUND_S)
    assert rest == ""
    assert "DEFECT wrong-date is on" in log


def test_it_belongs_to_its_parent_not_to_the_thread_or_the_terminal_that_started_it():
    started = []
    thread = threading.Thread(target=lambda: started.append(start_reference("tiny", "float32")))
    thread.start()
    thread.join()
    (server,) = started
    with server:
        assert os.getpgid(server.process.pid) == server.process.pid
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert server.process.returncode == -signal.SIGTERM
    server.stop()


def test_export_writes_a_checkpoint_and_says_where(tmp_path):
    folder = tmp_path / "exported"
    done = command("export", str(folder))
    assert (done.returncode, done.stdout.strip()) == (0, str(folder)), done.stderr
    assert json.loads((folder / "config.json").read_text())["model_type"] == "gpt_oss"


def test_export_cannot_write_into_a_file(tmp_path):
    file = tmp_path / "taken"
    file.touch()
    assert "taken" in refusal(command("export", str(file)))


def test_a_child_gets_what_it_is_told_and_no_key_of_ours(monkeypatch):
    for name in ("GPTOSS_NPU_API_KEY", "VLLM_API_KEY"):
        monkeypatch.setenv(name, "sk-secret")
    monkeypatch.setenv("GPTOSS_OTHER", "kept")
    show = "import json, os; print(json.dumps({'url': ' '.join(f'{k}={v}' for k, v in os.environ.items())}))"
    with ServerProcess.launch([sys.executable, "-c", show], "it", environment={"TOLD": "so"}) as server:
        server.wait_ready(time.monotonic() + 60)
        assert "sk-secret" not in server.url
        assert "GPTOSS_OTHER=kept" in server.url
        assert "TOLD=so" in server.url
