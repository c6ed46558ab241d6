"""The tiny checkpoint in real vLLM: bfloat16 there says what it was taught and what float32 says here."""

from __future__ import annotations

from pathlib import Path

import httpx
import vllm_cpu
from needs_vllm import NEEDS_VLLM, VENV
from tiny import exam, report

from pytest_gptoss.model.resources import fixture

pytestmark = NEEDS_VLLM
LONGEST = 256


def completed(ask: httpx.Client, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """The greedy token ids after a prompt of ids."""
    body = {
        "model": "gpt-oss-20b",
        "prompt": list(prompt),
        "max_tokens": LONGEST,
        "temperature": 0,
        "return_token_ids": True,
    }
    answer = ask.post("/v1/completions", json=body).raise_for_status().json()
    return tuple(answer["choices"][0]["token_ids"])


def test_vllm_says_what_float32_says(checkpoint: Path, tmp_path: Path) -> None:
    tasks = exam.tasks()
    ours = report.open_checkpoint(fixture("tiny-gpt-oss")).greedy(tasks)
    with (
        vllm_cpu.serving(checkpoint, venv=VENV, log=tmp_path / "log") as url,
        httpx.Client(base_url=url, timeout=120.0, trust_env=False) as ask,
    ):
        theirs = [completed(ask, task.prompt) for task in tasks]
    wrong = [task.kind for task, mine, its in zip(tasks, ours, theirs, strict=True) if mine != its]
    print(f"{len(tasks) - len(wrong)} of {len(tasks)} answers equal; not: {wrong}")
    assert len(wrong) <= 0.02 * len(tasks)
