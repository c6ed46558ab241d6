"""What building the longest needle prompt costs: seconds and memory, cell after cell.

    python benchmarks/needle.py

The counting function is the cheapest there is (words), so that only our own work is measured.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc

from pytest_gptoss.measure.needle import CONTEXT, bury, planned_tokens

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


async def count(text: str) -> int:
    return len(text.split())


def build(depth: float) -> None:
    task = bury(
        "The secret code is 7842.",
        "What is the secret code?",
        depth=depth,
        tokens=planned_tokens(CONTEXT),
        seed=int(depth * 100),
        count=count,
    )
    asyncio.run(task)


def main() -> None:
    for depth in DEPTHS:
        started = time.perf_counter()
        build(depth)
        print(f"depth {depth:.2f}: {time.perf_counter() - started:.2f} s")
    tracemalloc.start()
    for depth in DEPTHS:
        build(depth)
        left, peak = tracemalloc.get_traced_memory()
        print(f"depth {depth:.2f}: peak {peak / 2**20:.1f} MB, left behind {left / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
