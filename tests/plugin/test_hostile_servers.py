"""Servers that mean ill: the user's command ends, in bounded time and memory, in the right colour."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from altering_proxy import altering_proxy
from hostile_servers import HostileServers

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process's own peak")

KEY = "sk-very-secret-1234567890"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
TOKEN = b'data: {"choices": [{"delta": {"content": "x"}, "token_ids": [5]}]}\n\n'


def ended(tokens: int, usage: bytes) -> bytes:
    """A whole streamed answer of so many tokens with the given usage."""
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    return (
        STREAM + TOKEN * tokens + end + b'data: {"choices": [], "usage": ' + usage + b"}\n\ndata: [DONE]\n\n"
    )


HOSTILE = {
    "endless-headers": (JSON, b"X: " + b"y" * 9000 + b"\r\n"),
    "endless-lines": (STREAM, b"x" * 60_000),
    "endless-comments": (STREAM, b": " + b"x" * 60_000 + b"\n\n"),
    "endless-tokens": (STREAM, TOKEN * 100),
    "endless-refusal": (b"HTTP/1.1 500 Oh\r\n\r\n", b"no! " * 5000),
    "long-line": (STREAM + b"data: {" + b"x" * 100 * 2**20 + b"}\n\n", b""),
    "deep-json": (STREAM + b"data: " + b"[" * 200_000 + b"\n\n", b""),
    "no-utf8": (STREAM + b"data: \xff\xfe\xfd\n\n", b""),
    "huge-integer": (ended(2, b'{"prompt_tokens": 3, "completion_tokens": 1' + b"0" * 4000 + b"}"), b""),
    "huger-integer": (ended(2, b'{"prompt_tokens": 3, "completion_tokens": 1' + b"0" * 90_000 + b"}"), b""),
    "negative-count": (ended(0, b'{"prompt_tokens": 3, "completion_tokens": -1}'), b""),
    "no-answer": (b"", b""),
}
"""What the chat endpoint sends: once, and again for ever. An empty second part closes the connection."""


@pytest.fixture
def hostile():
    servers = HostileServers()
    yield servers
    servers.stop()


def run(cwd: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """The acceptance tests in a process of their own, and the most memory it held, in MiB."""
    script = (
        "import re, sys, pytest\n"
        "status = pytest.main(sys.argv[1:])\n"
        "print('peak', re.search('VmHWM:(.*)kB', open('/proc/self/status').read())[1])\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(acceptance_tests()), "-p", "no:cacheprovider",
         "--gptoss-profile=embedded", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    return done, int(done.stdout.split("peak ")[1].split()[0]) // 1024


def test_hostile_servers_are_invalid_in_bounded_time_and_memory(pytester, few_prompts, hostile, report):
    urls = [f"--npu-url={name}={hostile.start(*sent)}" for name, sent in HOSTILE.items()]
    away = (
        b"HTTP/1.1 307 Go\r\nLocation: " + hostile.thief().encode() + b"/v1/chat\r\nContent-Length: 0\r\n\r\n"
    )
    urls.append(f"--npu-url=redirect={hostile.start(away, b'')}")
    idle, least = run(pytester.path, "--collect-only", "-q", "--npu-url=http://127.0.0.1:9", "-k", "leakage")
    assert idle.returncode == 0
    started = time.monotonic()
    done, most = run(
        pytester.path, *urls, f"--gptoss-prompts={few_prompts}", "--gptoss-timeout=5",
        "--gptoss-first-token-timeout=5", "-k", "leakage",
    )  # fmt: skip
    print(f"{time.monotonic() - started:.0f} s, {most} MiB, idle {least} MiB")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    rows = {row["npu"]: row for row in report()["verdicts"]}
    assert {name: row["verdict"] for name, row in rows.items()} == dict.fromkeys(
        [*HOSTILE, "redirect"], "INVALID"
    )
    for row in rows.values():
        assert len(row["reason"].splitlines()) == 1
        assert len(row["reason"]) < 1000
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout
    assert not hostile.thief_was_asked
    assert report()["state"] == "finished"
    assert most < least + 512


# -- the key, wherever it is repeated ---------------------------------------------------------


def test_no_artefact_holds_a_key_that_servers_repeat(pytester, few_prompts, embedded_pair, monkeypatch):
    """The NPU's key comes back in answers, refusals, headers and reason phrases; it stands in no output."""
    chats = iter(range(10**6))

    def echo(path, answer):
        if path == "/version":
            return {"version": f"0.32.0 {KEY}"}
        if path == "/v1/chat/completions" and answer.get("choices") and next(chats) % 100 == 99:
            answer["choices"][0]["delta"]["content"] = f"Bearer {KEY}"
        if path == "/v1/completions":
            return {"error": {"message": f"not with {KEY}", "headers": {"authorization": KEY}}}
        if path == "/tokenize":
            return {"tokens": [KEY]}
        return answer

    monkeypatch.setenv("GPTOSS_NPU_API_KEY", KEY)
    with altering_proxy(embedded_pair["npu"], answer=echo, said=f"with {KEY}") as npu:
        done, _ = run(
            pytester.path, f"--npu-url={npu}", f"--gpu-url={embedded_pair['gpu']}",
            f"--gptoss-prompts={few_prompts}", "-k", "leakage or rouge or perplexity or needle.control.256",
            "--junitxml=out.xml", "--json-report", "--gptoss-record=base.zip", "-vv", "--log-level=DEBUG",
            "--showlocals",
        )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "GPTOSS_NPU_API_KEY" in done.stdout
    assert "***" in done.stdout
    assert "X-Said" in done.stdout, "nothing was logged: the search below proves nothing"
    assert KEY not in done.stdout + done.stderr
    searched = [path for path in pytester.path.rglob("*") if path.is_file()]
    assert {"out.xml", ".report.json", "base.zip", "acceptance.json", "devices.json"} <= {
        path.name for path in searched
    }
    for path in searched:
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        assert not any(KEY.encode() in content for content in contents), path


# -- files of the user's own ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "said"),
    [(100 * 10**6, "more than 8388608 bytes (8 MiB), the limit"),
     (8 * 2**20, "2796201 entries, more than 10000, the limit")],
    ids=["100 MB", "at the limit"],
)  # fmt: skip
def test_a_huge_prompts_file_is_a_usage_error_before_it_fills_the_memory(pytester, size, said):
    huge = pytester.path / "huge.json"
    with huge.open("wb") as file:
        file.write(b"[" + b"{}," * ((size - 3) // 3 - 1) + b"{}]")
    assert huge.stat().st_size <= size
    idle, least = run(pytester.path, "--collect-only", "-q", "--npu-url=http://127.0.0.1:9", "-k", "leakage")
    done, most = run(pytester.path, "--npu-url=http://127.0.0.1:9", f"--gptoss-prompts={huge}")
    assert idle.returncode == 0
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"huge.json: {said}" in done.stderr
    assert most < least + 256


def test_a_thresholds_file_with_unknown_keys_is_a_usage_error(pytester):
    mine = pytester.path / "mine.toml"
    mine.write_text('[thresholds."precision.kl"]\nlimit = 1\nexec = "rm"\n')
    done, _ = run(pytester.path, "--npu-url=http://127.0.0.1:9", f"--gptoss-thresholds={mine}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "mine.toml: precision.kl: 'exec' cannot be changed, only limit and statistic" in done.stderr
    assert not (pytester.path / "gptoss-report").exists()
