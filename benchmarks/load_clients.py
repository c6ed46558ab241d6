"""Small load clients for benchmarks/instrument.py: ours, and what a plain aiohttp or httpx loop sees.

    python benchmarks/load_clients.py ours|aiohttp|httpx URL CONCURRENCY REQUESTS TOKENS OUT.json [RATE]

A closed loop of streaming chat requests, or with a rate requests that are sent evenly, so many a second.
Writes the TTFT of each in ms by X-Request-Id. The plain clients stamp when they ask and when the first event
with ``token_ids`` has been parsed, as one would write it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

PATH = "/v1/chat/completions"
PROMPT = "token " * 1024


def body(tokens: int) -> dict[str, object]:
    """One request: 1,024 words in, ``tokens`` out."""
    return {
        "model": "truth",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def ours(url: str, concurrency: int, requests: int, tokens: int, rate: float = 0) -> dict[str, float]:
    """The instrument itself."""
    from pytest_gptoss.client.endpoint import Endpoint
    from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load

    sent = [LoadRequest(f"r{place}", PATH, body(tokens)) for place in range(requests)]
    due_ns = [round(place * 1e9 / rate) for place in range(requests)] if rate else None
    job = LoadJob(LoadTarget(Endpoint(url)), sent, min(concurrency, requests), due_ns=due_ns)
    run = run_load(job, on_end=lambda timing: None)
    failed = [timing.error for timing in run.requests if timing.error is not None]
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {failed[0]}")
    return {timing.id: (timing.token_ns[0] - (timing.sent_ns or 0)) / 1e6 for timing in run.requests}


async def plain_aiohttp(
    url: str, concurrency: int, requests: int, tokens: int, rate: float = 0
) -> dict[str, float]:
    """A loop as aiohttp's documentation teaches it."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(name: str) -> float:
            started = time.perf_counter()
            first = None
            headers = {"X-Request-Id": name}
            async with session.post(url + PATH, json=body(tokens), headers=headers) as response:
                async for line in response.content:
                    if first is None and _carries_token(line):
                        first = time.perf_counter()
            return ((first or time.perf_counter()) - started) * 1e3

        return await (_open_loop(ask, requests, rate) if rate else _closed_loop(ask, concurrency, requests))


async def plain_httpx(
    url: str, concurrency: int, requests: int, tokens: int, rate: float = 0
) -> dict[str, float]:
    """A loop as httpx's documentation teaches it."""
    import httpx

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:

        async def ask(name: str) -> float:
            started = time.perf_counter()
            first = None
            headers = {"X-Request-Id": name}
            async with client.stream("POST", url + PATH, json=body(tokens), headers=headers) as response:
                async for line in response.aiter_lines():
                    if first is None and _carries_token(line.encode()):
                        first = time.perf_counter()
            return ((first or time.perf_counter()) - started) * 1e3

        return await (_open_loop(ask, requests, rate) if rate else _closed_loop(ask, concurrency, requests))


def _carries_token(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    return any(choice.get("token_ids") for choice in json.loads(line[6:])["choices"])


async def _closed_loop(
    ask: Callable[[str], Awaitable[float]], concurrency: int, requests: int
) -> dict[str, float]:
    seen: dict[str, float] = {}

    async def work(names: Iterator[str]) -> None:
        for name in names:
            seen[name] = await ask(name)

    queue = iter([f"r{place}" for place in range(requests)])
    await asyncio.gather(*(work(queue) for _ in range(concurrency)))
    return seen


async def _open_loop(ask: Callable[[str], Awaitable[float]], requests: int, rate: float) -> dict[str, float]:
    seen: dict[str, float] = {}

    async def one(name: str) -> None:
        seen[name] = await ask(name)

    loop = asyncio.get_running_loop()
    started, tasks = loop.time(), []
    for place in range(requests):
        await asyncio.sleep(started + place / rate - loop.time())
        tasks.append(asyncio.ensure_future(one(f"r{place}")))
    await asyncio.gather(*tasks)
    return seen


def main() -> None:
    """Run one client and write what it saw."""
    name, url, *numbers = sys.argv[1:6]
    out, *rates = sys.argv[6:]
    concurrency, requests, tokens = map(int, numbers)
    rate = float(rates[0]) if rates else 0.0
    if name == "ours":
        seen = ours(url, concurrency, requests, tokens, rate)
    else:
        client = {"aiohttp": plain_aiohttp, "httpx": plain_httpx}[name]
        seen = asyncio.run(client(url, concurrency, requests, tokens, rate))
    Path(out).write_text(json.dumps(seen), "utf-8")


if __name__ == "__main__":
    main()
