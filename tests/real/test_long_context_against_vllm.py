"""Prompts exact to the token by vLLM's own count, from 1K to the whole context of 131,072."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import vllm_cpu
from needs_vllm import NEEDS_VLLM, SLOW, VENV

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.probe import probe
from pytest_gptoss.model.inputs import NeedleTask, TokenSequence
from pytest_gptoss.model.results import NeedleAnswer
from pytest_gptoss.scenarios.kinds import Needle
from pytest_gptoss.scenarios.needle_prompt import CONTEXT, RESERVE
from pytest_gptoss.scenarios.needle_trial import NeedleTrials

pytestmark = NEEDS_VLLM

ENGLISH = NeedleTask()
CHINESE = NeedleTask(needle="密码是7842。", question="密码是什么？")


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with vllm_cpu.serving(checkpoint, venv=VENV, max_model_len=CONTEXT, log=log) as url:
        yield url


def ask(url: str, length: int, *, task: NeedleTask = ENGLISH, tokenize: bool = True) -> NeedleAnswer:
    async def one() -> NeedleAnswer:
        async with VllmClient(Endpoint.parse(url), role="npu") as client:
            device = await probe(client, role="npu", name="npu")
            able = replace(device.capabilities, tokenize=tokenize)
            return await NeedleTrials(client, able=able, task=task).ask(Needle("npu", 0.5, length), 0)

    return asyncio.run(one())


@pytest.mark.parametrize(
    ("length", "task"), [(1024, ENGLISH), (4096, ENGLISH), (8192, ENGLISH), (1024, CHINESE)]
)
def test_the_prompt_has_the_planned_length_by_vllms_count(server: str, length: int, task: NeedleTask) -> None:
    answer = ask(server, length, task=task)
    assert answer.trouble is None, answer.message
    assert answer.prompt_tokens == answer.planned_tokens == length
    assert answer.cached_tokens == 0
    assert answer.depth == pytest.approx(0.5, abs=16 / length)


def test_probe_requests_alone_lead_to_the_same_length(server: str) -> None:
    answer = ask(server, 1024, tokenize=False)
    assert answer.prompt_tokens == answer.planned_tokens == 1024


def test_a_forced_token_has_the_score_of_teacher_forcing(server: str) -> None:
    async def both() -> tuple[list[float], list[float]]:
        async with VllmClient(Endpoint.parse(server), role="npu") as client:
            ids = await client.tokenize("The old dog walks near the river. At noon the baker sings.")
            scored = await client.score(TokenSequence("text", ids))
            forced = [await client.force(ids[:place], ids[place]) for place in range(1, len(ids))]
            return list(scored.logprobs), forced

    scores, forced = asyncio.run(both())
    assert forced == pytest.approx(scores, abs=1e-3)
    assert min(scores) < -1


@SLOW
def test_the_longest_cell_is_built_counted_and_sent(server: str, tmp_path: Path) -> None:
    """Mechanics alone: nobody expects a tiny model to find anything there."""
    subprocess.run(
        [
            sys.executable, "-m", "pytest_gptoss.cli", "long-context",
            "--api-url", f"{server}/v1/chat/completions", "--max-context-len", str(CONTEXT),
            "--output", "long_context_report.json", "-k", "recall and d100-128k",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    report = json.loads((tmp_path / "long_context_report.json").read_text("utf-8"))
    (cell,) = report["cells"]
    assert cell["outcome"] in ("hit", "miss", "cut"), cell["reason"]
    assert cell["prompt_tokens"] == cell["planned_tokens"] == CONTEXT - RESERVE
    assert cell["cached_tokens"] == 0
    print(f"first token after {cell['first_token_ms'] / 1000:.0f} s, answer {cell['answers'][0]!r}")
