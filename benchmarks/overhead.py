"""What the suite costs beside a bare script that sends the same requests.

    python benchmarks/overhead.py [--rounds 3]

Each round starts both on the same running embedded pair, in turn. The bare script asks for the same
greedy answers of the same prompts with httpx, one at a time per device, both devices side by side, and
judges nothing. Prints wall seconds of each and the median ratio, and what the plugin adds to importing
pytest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from pytest_gptoss.model.paths import CHAT_PATH
from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.scenarios.prompts import load_shipped
from pytest_gptoss.servers.embedded import start_pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    servers = start_pair()
    try:
        urls = {name: server.url for name, server in servers.items()}
        suite_times, bare_times = [], []
        for _ in range(rounds):
            suite_times.append(suite(urls))
            bare_times.append(bare(urls))
    finally:
        for server in servers.values():
            server.stop()
    ratios = [ours / theirs for ours, theirs in zip(suite_times, bare_times, strict=True)]
    print("greedy stage, suite   s:", " ".join(f"{value:.2f}" for value in suite_times))
    print("greedy stage, bare    s:", " ".join(f"{value:.2f}" for value in bare_times))
    print(f"suite / bare, median   : {statistics.median(ratios):.3f}")
    print(f"plugin's share of `pytest --version`, median ms: {1000 * start_up():.1f}")


def suite(urls: Mapping[str, str]) -> float:
    """Seconds that the suite's own report says the greedy stage took, both devices side by side."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(acceptance_tests()),
                "-k", "inputs.identical", "--gptoss-profile=embedded",
                f"--npu-url={urls['npu']}", f"--gpu-url={urls['gpu']}", f"--gptoss-report={scratch}",
            ],
            check=True, stdout=subprocess.DEVNULL, cwd=scratch,
        )  # fmt: skip
        document = json.loads((Path(scratch) / "acceptance.json").read_text("utf-8"))
    spans = [
        (_seconds(each["started"]), _seconds(each["ended"])) for each in document["measurements"]["scenarios"]
    ]
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()


def bare(urls: Mapping[str, str]) -> float:
    """Seconds a bare script takes for the same requests."""
    return asyncio.run(_bare(urls))


async def _bare(urls: Mapping[str, str]) -> float:
    bodies = [
        {
            "model": "gpt-oss-20b",
            "messages": [{"role": each.role, "content": each.content} for each in prompt.messages],
            "temperature": 0, "top_p": 1, "max_tokens": prompt.max_tokens or 160, "stream": True,
            "stream_options": {"include_usage": True}, "return_token_ids": True, "logprobs": True,
            "top_logprobs": 20, "return_tokens_as_token_ids": True,
        }
        for prompt in load_shipped("embedded").prompts
    ]  # fmt: skip

    async def ask(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            for body in bodies:
                async with client.stream("POST", CHAT_PATH, json=body) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data: {"):
                            json.loads(line[6:])

    started = time.monotonic()
    await asyncio.gather(*(ask(url) for url in urls.values()))
    return time.monotonic() - started


def start_up() -> float:
    """Seconds that the plugin adds to the shortest pytest run, median of paired runs."""
    gaps = []
    for _ in range(9):
        with_plugin = _run("--version", "--version")
        without = _run("--version", "--version", "-p", "no:gptoss")
        gaps.append(with_plugin - without)
    return statistics.median(gaps)


def _run(*arguments: str) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "pytest", *arguments], check=True, capture_output=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
