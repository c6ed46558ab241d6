"""A server's own counters, as its ``/metrics`` tells them before and after."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.metrics_page import samples, totals
from pytest_gptoss.model.errors import RequestError

__all__ = [
    "cache_block_of",
    "counters_of",
    "grown",
    "kv_cache_tokens",
    "read_cache_block",
    "read_counters",
    "resting_counters",
    "settled_counters",
]

_COUNTERS: Mapping[str, str] = {
    "prompt_tokens_total": "prompt_tokens",
    "generation_tokens_total": "generation_tokens",
    "prefix_cache_hits_total": "prefix_cache_hits",
    "external_prefix_cache_hits_total": "external_prefix_cache_hits",
    "request_success_total": "requests",
    "time_to_first_token_seconds_sum": "ttft_seconds",
    "time_to_first_token_seconds_count": "ttft_count",
    "num_preemptions_total": "preemptions",
}
"""vLLM's name -> ours."""

_COUNT = re.compile(r"[0-9]{1,12}")

READS = 20
PAUSE_S = 0.1


def counters_of(text: str) -> dict[str, float]:
    """The counters on a page of Prometheus' text form, each summed over its labels; all finite."""
    told = totals(text)
    return {ours: told[f"vllm:{name}"] for name, ours in _COUNTERS.items() if f"vllm:{name}" in told}


def cache_block_of(text: str) -> int | None:
    """Tokens of one block of the prefix cache, as the page tells them; None where it does not."""
    for sample in samples(text, "vllm:cache_config_info"):
        block = _count(sample.labels.get("block_size"))
        if block is not None:
            return block
    return None


def kv_cache_tokens(text: str) -> float | None:
    """Tokens that the KV cache holds, all engines together: infinity without a bound, None where not told.

    vLLM's own figure where it gives one, else blocks times their size: layers of two kinds share blocks, and
    sequences shorter than the context then take more of them.
    """
    caches = [_tokens_of(sample.labels) for sample in samples(text, "vllm:cache_config_info")]
    told = [tokens for tokens in caches if tokens is not None]
    return sum(told) if told and len(told) == len(caches) else None


def _tokens_of(cache: Mapping[str, str]) -> float | None:
    """Tokens of one engine's cache, by its labels; the reference server's has no bound unless given one."""
    whole = _count(cache.get("kv_cache_size_tokens"))
    block, blocks = _count(cache.get("block_size")), _count(cache.get("num_gpu_blocks"))
    if whole is not None or block is None:
        return whole
    if "num_gpu_blocks" not in cache:
        return math.inf
    return None if blocks is None else blocks * block


def _count(written: str | None) -> int | None:
    """A label's whole number above 0, None of anything else."""
    return (int(written) or None) if written and _COUNT.fullmatch(written) else None


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """By how much each counter that both pages have has grown."""
    return {name: after[name] - before[name] for name in before if name in after}


async def read_counters(client: VllmClient) -> dict[str, float] | None:
    """The counters of now; None when the server does not answer."""
    try:
        return counters_of(await client.metrics_text())
    except RequestError:
        return None


async def read_cache_block(client: VllmClient) -> int | None:
    """Tokens of one block of the prefix cache; None when the server does not tell."""
    try:
        return cache_block_of(await client.metrics_text())
    except RequestError:
        return None


async def resting_counters(client: VllmClient) -> dict[str, float] | None:
    """The counters once two reads in a row are equal, or after two seconds; None when no answer comes.

    What was asked before is then in them: a server counts a request a moment after its last byte has left.
    """
    last = await read_counters(client)
    for _ in range(READS):
        await asyncio.sleep(PAUSE_S)
        now = await read_counters(client)
        if now is None or now == last:
            return now
        last = now
    return last


async def settled_counters(
    client: VllmClient, before: Mapping[str, float], *, requests: int
) -> dict[str, float] | None:
    """The counters once the server has counted so many more requests, or after two seconds of waiting."""
    after = None
    for _ in range(READS):
        after = await read_counters(client)
        if after is None or "requests" not in after:
            break
        if after["requests"] - before.get("requests", 0.0) >= requests:
            break
        await asyncio.sleep(PAUSE_S)
    return after
