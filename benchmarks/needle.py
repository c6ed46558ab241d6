"""What building the longest needle prompt costs: seconds and memory, cell after cell.

    python benchmarks/needle.py [--url http://127.0.0.1:8000]

Without a URL the counting function is the cheapest there is (words), so that only our own work is
measured; with one, that server's ``/tokenize`` counts, and its time is ours to wait for.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
import tracemalloc

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.scenarios.needle_prompt import CONTEXT, Count, bury, planned_tokens

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


async def words(text: str) -> int:
    return len(text.split())


async def build(depth: float, count: Count) -> int:
    """Build one prompt; how often its tokens were counted."""
    calls = 0

    async def counted(text: str) -> int:
        nonlocal calls
        calls += 1
        return await count(text)

    await bury(
        "The secret code is 7842.",
        "What is the secret code?",
        depth=depth,
        tokens=planned_tokens(CONTEXT),
        seed=int(depth * 100),
        count=counted,
    )
    return calls


async def timed(count: Count) -> None:
    for depth in DEPTHS:
        started, used = time.perf_counter(), time.process_time()
        calls = await build(depth, count)
        print(
            f"depth {depth:.2f}: {time.perf_counter() - started:.2f} s, "
            f"{time.process_time() - used:.2f} s of them this process computing, {calls} counts"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident {peak:.0f} MB, the interpreter and its imports among them")


async def timed_on(url: str) -> None:
    async with VllmClient(Endpoint.parse(url), role="npu") as client:
        await timed(lambda text: _length(client, text))


async def _length(client: VllmClient, text: str) -> int:
    return len(await client.tokenize(text))


async def traced() -> None:
    tracemalloc.start()
    for depth in DEPTHS:
        await build(depth, words)
        left, peak = tracemalloc.get_traced_memory()
        print(f"depth {depth:.2f}: peak {peak / 2**20:.1f} MB, left behind {left / 2**20:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="count by this server's /tokenize")
    url = parser.parse_args().url
    if url:
        asyncio.run(timed_on(url))
        return
    asyncio.run(timed(words))
    asyncio.run(traced())


if __name__ == "__main__":
    main()
