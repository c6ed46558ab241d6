"""Preflight and features on real vLLM that was started badly: no parsers, too short a context."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import vllm_cpu
from needs_vllm import NEEDS_VLLM, VENV

from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.servers.embedded import PINNED_DATE

pytestmark = NEEDS_VLLM


def _accept(url: str, *options: str, cwd: Path) -> tuple[str, dict[str, dict[str, object]]]:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider",
            "--npu-url", url,
            "--gptoss-profile", "embedded", *options,
        ],
        cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    report = cwd / "gptoss-report" / "acceptance.json"
    document = json.loads(report.read_text("utf-8"))
    return done.stdout, {row["threshold_id"]: row for row in document["verdicts"]}


def test_a_server_without_parsers_and_with_a_short_context(checkpoint: Path, tmp_path: Path) -> None:
    log = tmp_path / "npu.log"
    with vllm_cpu.serving(
        checkpoint, venv=VENV, chat_flags=(), max_model_len=1024, start_date=PINNED_DATE, log=log
    ) as npu:
        rows = "preflight or tools or bf16 or mxfp4 or capability.context or recall.d050"
        out, found = _accept(npu, "--gptoss-npu-log", "npu.log", "-k", rows, cwd=tmp_path)
        assert found["preflight.ready"]["verdict"] == found["preflight.model"]["verdict"] == "PASS", out
        assert found["preflight.versions"]["verdict"] == "PASS"
        assert (found["preflight.context"]["verdict"], found["preflight.context"]["value"]) == ("FAIL", 1024)
        assert found["needle.recall.d050-1k"]["verdict"] == "INVALID"
        assert found["capability.context"]["verdict"] == "FAIL"
        assert found["capability.tools_auto"]["verdict"] == "INVALID"
        assert "add --enable-auto-tool-choice --tool-call-parser openai" in out
        # The engine tells in its log how it computes.
        assert found["capability.bf16"]["verdict"] == found["capability.mxfp4"]["verdict"] == "PASS"
        assert found["preflight.smoke_hi"]["verdict"] == "PASS"

        out, found = _accept(npu, "--gptoss-npu-model", "gpt-oss-120b", "-k", "ready or model", cwd=tmp_path)
        assert found["preflight.ready"]["verdict"] == "PASS"
        assert found["preflight.model"]["verdict"] == "INVALID"
        assert "'gpt-oss-120b' is not served; served: gpt-oss-20b" in str(found["preflight.model"]["reason"])
