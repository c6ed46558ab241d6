"""The counters of /metrics, in Prometheus' text format under vLLM's names."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from pytest_gptoss.reference.generation import EngineStats
from pytest_gptoss.reference.histogram import Histogram
from pytest_gptoss.reference.limits import BLOCK

__all__ = ["CONTENT_TYPE", "FinishCounter", "exposition"]

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

_REASONS = ("stop", "length", "abort", "error")

_FAMILIES = (
    ("num_requests_running", "gauge", "Number of requests in model execution batches.", "running"),
    ("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", "waiting"),
    ("prompt_tokens_total", "counter", "Number of prefill tokens processed.", "prompt_tokens"),
    ("generation_tokens_total", "counter", "Number of generation tokens processed.", "generation_tokens"),
    (
        "prefix_cache_queries_total",
        "counter",
        "Prefix cache queries, in terms of number of queried tokens.",
        "prefix_cache_queries",
    ),
    (
        "prefix_cache_hits_total",
        "counter",
        "Prefix cache hits, in terms of number of cached tokens.",
        "prefix_cache_hits",
    ),
    (
        "num_preemptions_total",
        "counter",
        "Cumulative number of preemption from the engine.",
        "preemptions",
    ),
    ("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", "kv_cache_usage"),
)

_WAIT_FAMILY = "time_to_first_token_seconds"
_STARTED_S = time.time()
"""When this process began, near enough: every start has its own."""


@dataclass
class FinishCounter:
    """How many sequences ended, by reason: stop, length, abort (the client left) or error."""

    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str) -> None:
        """Count one sequence."""
        self._counts[reason] += 1

    def count(self, reason: str) -> int:
        """Sequences that ended for a reason."""
        return self._counts[reason]


def exposition(stats: EngineStats, finished: FinishCounter, *, model: str) -> str:
    """The whole page."""
    labels = {"engine": "0", "model_name": model}
    lines = [
        "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {_STARTED_S}",
    ]
    for name, kind, explanation, attribute in _FAMILIES:
        lines += _head(name, kind, explanation)
        lines.append(_sample(name, labels, getattr(stats, attribute)))
    lines += _head("cache_config_info", "gauge", "Information of the LLMEngine CacheConfig")
    lines.append(_sample("cache_config_info", _cache_config(stats), 1.0))
    lines += _head("request_success_total", "counter", "Count of successfully processed requests.")
    lines += [
        _sample("request_success_total", {"finished_reason": reason, **labels}, finished.count(reason))
        for reason in _REASONS
    ]
    lines += _head(_WAIT_FAMILY, "histogram", "Histogram of time to first token in seconds.")
    lines += _histogram(_WAIT_FAMILY, labels, stats.first_token_s)
    return "\n".join(lines) + "\n"


def _cache_config(stats: EngineStats) -> dict[str, str]:
    blocks = stats.kv_cache_blocks
    bound = {} if blocks is None else {"num_gpu_blocks": str(blocks)}
    return {"block_size": str(BLOCK), "engine": "0", **bound}


def _histogram(name: str, labels: dict[str, str], histogram: Histogram) -> list[str]:
    counts = histogram.cumulative
    bounds = (*map(str, histogram.bounds), "+Inf")
    return [
        *(
            _sample(f"{name}_bucket", {"le": bound, **labels}, count)
            for bound, count in zip(bounds, counts, strict=True)
        ),
        _sample(f"{name}_count", labels, counts[-1]),
        _sample(f"{name}_sum", labels, histogram.total),
    ]


def _head(name: str, kind: str, explanation: str) -> list[str]:
    return [f"# HELP vllm:{name} {explanation}", f"# TYPE vllm:{name} {kind}"]


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    written = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
    return f"vllm:{name}{{{written}}} {float(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
