"""How fast the reference server is, over HTTP, on the tiny checkpoint.

    python benchmarks/reference.py                          # both dtypes, one thread each
    python benchmarks/reference.py --dtype float32 --threads 2

For each dtype a server is started and asked as a client would: token-id prompts that share no prefix,
streamed, `ignore_eos`, so that every answer has its full length. The client runs on the same machine and
its work is part of the figures. One line of a Markdown table comes out per dtype.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN
from pytest_gptoss.model.paths import COMPLETIONS_PATH
from pytest_gptoss.servers.embedded import start_reference
from pytest_gptoss.servers.process import ServerProcess

PROMPT_TOKENS, OUTPUT_TOKENS = 1024, 256
STREAMS = 16
ROUNDS = 10


@dataclass(frozen=True)
class Answer:
    """When one request was sent and when each of its tokens came, monotonic seconds."""

    sent: float
    tokens: Sequence[float]

    @property
    def first_token_ms(self) -> float:
        """From sending to the first token."""
        return (self.tokens[0] - self.sent) * 1000

    @property
    def per_token_ms(self) -> float:
        """Mean time between tokens."""
        return (self.tokens[-1] - self.tokens[0]) / (len(self.tokens) - 1) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), action="append")
    parser.add_argument("--threads", type=int, help="default: what the server takes by itself")
    options = parser.parse_args()
    arguments = () if options.threads is None else ("--threads", str(options.threads))
    print("| dtype | ready s | memory MB | TTFT ms | TPOT ms | tok/s, 1 stream | tok/s, 16 streams | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for dtype in options.dtype or ("float32", "bfloat16"):
        began = time.monotonic()
        with start_reference("tiny", dtype, arguments=arguments) as server:
            ready = time.monotonic() - began
            alone, together = asyncio.run(measure(server))
            print(row(dtype, ready, peak_memory_mb(server), alone, together), flush=True)


def row(dtype: str, ready: float, memory: float, alone: Sequence[Answer], together: Sequence[Answer]) -> str:
    one = statistics.median(throughput([answer]) for answer in alone)
    many = throughput(together)
    first = statistics.median(answer.first_token_ms for answer in alone)
    each = statistics.median(answer.per_token_ms for answer in alone)
    return (
        f"| {dtype} | {ready:.1f} | {memory:.0f} | {first:.0f} | {each:.1f} "
        f"| {one:.0f} | {many:.0f} | {many / one:.1f} |"
    )


def throughput(answers: Sequence[Answer]) -> float:
    """Tokens a second from the first request's sending to the last token, prompts included."""
    tokens = sum(len(answer.tokens) for answer in answers)
    return tokens / (max(answer.tokens[-1] for answer in answers) - min(answer.sent for answer in answers))


async def measure(server: ServerProcess) -> tuple[list[Answer], list[Answer]]:
    """Some requests one after the other, then as many as there are streams at once."""
    chance = random.Random(0)
    async with httpx.AsyncClient(base_url=server.url, timeout=600) as client:
        await ask(client, chance)
        alone = [await ask(client, chance) for _ in range(ROUNDS)]
        together = await asyncio.gather(*[ask(client, chance) for _ in range(STREAMS)])
    return alone, together


async def ask(client: httpx.AsyncClient, chance: random.Random) -> Answer:
    body = {
        "prompt": [chance.randrange(FIRST_CONTROL_TOKEN) for _ in range(PROMPT_TOKENS)],
        "max_tokens": OUTPUT_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "return_token_ids": True,
    }
    stamps: list[float] = []
    sent = time.monotonic()
    async with client.stream("POST", COMPLETIONS_PATH, json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            arrived = time.monotonic()
            if line.startswith("data: {"):
                choices = json.loads(line.removeprefix("data: "))["choices"]
                stamps += [arrived for choice in choices for _ in choice.get("token_ids") or ()]
    if len(stamps) != OUTPUT_TOKENS:
        raise SystemExit(f"{len(stamps)} tokens came where {OUTPUT_TOKENS} were asked for")
    return Answer(sent=sent, tokens=stamps)


def peak_memory_mb(server: ServerProcess) -> float:
    """The most memory the server has had resident (Linux; nan elsewhere)."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.is_file():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
