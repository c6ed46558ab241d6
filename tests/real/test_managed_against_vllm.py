"""Real vLLM started and ended by the suite: configurations in turn, and a guilty setting found."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from needs_vllm import NEEDS_VLLM, VENV

from pytest_gptoss.cli.main import main
from pytest_gptoss.model.resources import acceptance_tests, fixture

pytestmark = NEEDS_VLLM

VARIABLES = {
    "TIKTOKEN_ENCODINGS_BASE": str(fixture("tiny-gpt-oss")),
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_SYSTEM_START_DATE": "2026-01-01",
}
PLUGIN = '''
import os
from itertools import count
from pathlib import Path


def _line():
    """The words of this process and of those above it: the engine is a child of the server."""
    words, pid = [], os.getpid()
    while pid > 1:
        words += Path(f"/proc/{pid}/cmdline").read_text().split("\\0")
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return words


def register():
    fault, line = os.environ.get("FAULT"), _line()
    if fault == "crash" and "--no-enable-prefix-caching" in line:
        raise RuntimeError("NPU out of memory")
    absent = fault == "absent" and "--no-enable-chunked-prefill" not in line
    if not absent and fault != "random":
        return
    from vllm.model_executor.models.gpt_oss import GptOssForCausalLM

    sound, turn = GptOssForCausalLM.compute_logits, count()

    def damaged(self, *given):
        logits = sound(self, *given)
        if logits is not None and (absent or next(turn) % 2):
            logits.fill_(-1e4)
            logits[..., 42] = 0.0
        return logits

    GptOssForCausalLM.compute_logits = damaged
'''
_SOUND: dict[str, object] = {
    "kind": "request",
    "path": "/v1/completions",
    "body": {
        "model": "gpt-oss-20b",
        "prompt": [976, 4853, 19705, 68347],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 0,
    },
    "answer": r'"token_logprobs":\s*\[-(?:[1-9]|0\.0*[1-9])',
}
"""The damaged model is certain of its token: that token's log-probability is 0."""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A package of vLLM's general plug-ins, found by PYTHONPATH, that damages the model as FAULT says."""
    folder = tmp_path / "plugin"
    info = folder / "faulty_vllm-1.dist-info"
    info.mkdir(parents=True)
    (folder / "faulty_vllm.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-vllm\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\nfaulty = faulty_vllm:register\n")
    return folder


def _serve(checkpoint: Path, *more: str) -> str:
    words = (str(VENV / "bin" / "vllm"), "serve", str(checkpoint), "--served-model-name", "gpt-oss-20b")
    fixed = ("--host", "{host}", "--port", "{port}", "--dtype", "bfloat16", "--max-model-len", "4096")
    return shlex.join([*words, *fixed, "--max-num-seqs", "8", "--enforce-eager", *more])


def _command(rows: str, *servers: str) -> list[str]:
    return [
        sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider", "-k", rows,
        *servers, *(f"--gptoss-serve-env={name}={value}" for name, value in VARIABLES.items()),
        "--gptoss-profile", "embedded", "--gptoss-timeout", "300", "--gptoss-first-token-timeout", "300",
    ]  # fmt: skip


def _configurations(checkpoint: Path) -> list[str]:
    return [
        f"--npu-serve=one={_serve(checkpoint)}",
        f"--npu-serve=two={_serve(checkpoint, '--no-enable-prefix-caching')}",
        f"--npu-serve=refused={_serve(checkpoint, '-tp', '2', '--no-such-flag')}",
    ]


def _left(checkpoint: Path) -> list[str]:
    """Processes that still serve the checkpoint."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(checkpoint).encode() in words and b"serve" in words:
            found.append(each.parent.name)
    return [pid for pid in found if pid != str(os.getpid())]


def _parents() -> dict[int, int]:
    """Every running process with its parent."""
    found = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = each.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(each.parent.name)] = int(parent)
    return found


def _descendants(pid: int) -> set[int]:
    parents = _parents()
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {each for each, parent in parents.items() if parent in found}
    return found - {pid}


def test_two_configurations_fill_the_matrix_and_a_refused_one_is_told(
    checkpoint: Path, tmp_path: Path
) -> None:
    command = _command("ready or inputs_identical or token_match", *_configurations(checkpoint))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2400, check=False)
    document = json.loads((tmp_path / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    judged = {(row["npu"], row["threshold_id"]): row for row in document["verdicts"]}
    assert judged["two", "configuration.inputs_identical"]["verdict"] == "PASS", done.stdout
    assert judged["two", "configuration.token_match_rate"]["verdict"] == "PASS"
    assert "unrecognized arguments: --no-such-flag" in done.stdout
    assert document["measurements"]["configurations"]["first"] == "one"
    graphs, tensor, *_ = document["measurements"]["features"]
    assert [each["has"] for each in graphs["configurations"]] == [False, False, False]
    assert [each["has"] for each in tensor["configurations"]] == [False, False, True]
    assert graphs["configurations"][1]["against_first"] == "agrees"
    assert _left(checkpoint) == []


def test_no_process_is_left_after_sigkill(checkpoint: Path, tmp_path: Path) -> None:
    command = _command("ready", *_configurations(checkpoint))
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as run:
        log = tmp_path / "gptoss-report" / "servers" / "one.log"
        for _ in range(1200):
            if log.is_file() and "Application startup complete" in log.read_text("utf-8", "replace"):
                break
            time.sleep(0.5)
        started = _descendants(run.pid)
        run.send_signal(signal.SIGKILL)
    assert len(started) >= 4, "the keeper, the API server, its engine and a worker"
    for _ in range(60):
        if not started & set(_parents()):
            break
        time.sleep(0.5)
    assert not started & set(_parents())


def test_hidden_states_come_from_the_pooling_variant(checkpoint: Path, tmp_path: Path) -> None:
    reference = f"{sys.executable} -m pytest_gptoss.reference --model tiny --port {{port}}"
    command = _command(
        "ready or hidden_cosine",
        f"--npu-serve={_serve(checkpoint, '--enable-auto-tool-choice', '--tool-call-parser', 'openai')}",
        f"--gpu-serve={reference}",
        "--gptoss-serve-pooling",
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2400, check=False)
    document = json.loads((tmp_path / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    judged = {row["threshold_id"]: row for row in document["verdicts"]}
    assert judged["precision.hidden_cosine"]["verdict"] == "PASS", done.stdout
    logs = sorted(each.name for each in (tmp_path / "gptoss-report" / "servers").iterdir())
    assert logs == ["gpu.log", "npu-pooling.log", "npu.log"]
    assert _left(checkpoint) == []


@pytest.mark.parametrize(
    ("fault", "more", "guilty"),
    [
        ("absent", (), "--no-enable-chunked-prefill"),
        ("crash", ("--no-enable-prefix-caching",), "--no-enable-prefix-caching"),
        ("random", (), None),
    ],
)
def test_the_guilty_one_of_eight_is_named(
    checkpoint: Path, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str,
    more: tuple[str, ...], guilty: str | None,
) -> None:  # fmt: skip
    for name, value in {**VARIABLES, "PYTHONPATH": str(plugin), "FAULT": fault}.items():
        monkeypatch.setenv(name, value)
    flags = (
        "--no-enable-chunked-prefill", "--no-enable-prefix-caching", "--seed 1", "--stream-interval 2",
        "--max-logprobs 10", "--disable-log-stats", "--disable-uvicorn-access-log",
    )  # fmt: skip
    probe = {"kind": "start"} if fault == "crash" else _SOUND
    (tmp_path / "probe.json").write_text(json.dumps(probe))
    status = main([
        "isolate", "--serve", _serve(checkpoint, *more),
        *(word for each in flags for word in ("--flag", each)),
        "--env=VLLM_LOGGING_LEVEL=DEBUG", "--probe", str(tmp_path / "probe.json"),
        "--output", str(tmp_path / "out"),
    ])  # fmt: skip
    found = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    named = [each["setting"] for each in found["guilty"]]
    assert (status, named) == ((3, []) if guilty is None else (0, [guilty])), found
    assert len(found["starts"]) <= 12
