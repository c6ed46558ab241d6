"""A server's counters, read from pages that real servers wrote."""

import json
import math
from pathlib import Path

import pytest

from pytest_gptoss.scenarios.server_counters import cache_block_of, counters_of, grown, kv_cache_tokens

WIRE = Path(__file__).resolve().parents[1] / "wire"


@pytest.mark.parametrize("version", ["0.18.1", "0.32.0"])
def test_a_recorded_page_has_every_counter(version):
    samples = json.loads((WIRE / version / "metrics.json").read_text("utf-8"))["samples"]
    found = counters_of("\n".join(samples))
    assert set(found) == {
        "prompt_tokens", "generation_tokens", "prefix_cache_hits", "external_prefix_cache_hits", "requests",
        "ttft_seconds", "ttft_count", "preemptions",
    }  # fmt: skip
    assert found["generation_tokens"] > 0
    assert 0 < found["ttft_seconds"] / found["ttft_count"] < 10


@pytest.mark.parametrize("version", ["0.18.1", "0.32.0"])
def test_a_recorded_page_tells_the_cache_block(version):
    samples = json.loads((WIRE / version / "metrics.json").read_text("utf-8"))["samples"]
    assert cache_block_of("\n".join(samples)) == 128


@pytest.mark.parametrize(
    ("labels", "block"),
    [
        ('block_size="16"', 16),
        ('a="1",block_size="16",b="2"', 16),
        ('mamba_block_size="64"', None),
        ('block_size="None"', None),
        ('block_size="0"', None),
    ],
)
def test_only_the_caches_own_block_counts(labels, block):
    assert cache_block_of(f"vllm:cache_config_info{{{labels}}} 1.0\n") == block


def test_labels_are_summed_and_other_lines_passed_over():
    page = (
        "# HELP vllm:request_success_total Count.\n"
        'vllm:request_success_total{engine="0",finished_reason="stop"} 2.0\n'
        'vllm:request_success_total{engine="1",finished_reason="length"} 3.0\n'
        'vllm:request_success_created{engine="0"} 1.7e+09\n'
        "vllm:prefix_cache_hits_total 8832.0\n"
        "process_cpu_seconds_total 1.5\n"
    )
    assert counters_of(page) == {"requests": 5.0, "prefix_cache_hits": 8832.0}


def test_growth_is_of_what_both_pages_have():
    assert grown({"a": 1.0, "b": 2.0}, {"a": 4.0, "c": 1.0}) == {"a": 3.0}


@pytest.mark.parametrize(("version", "tokens"), [("0.18.1", 32768 * 128), ("0.32.0", 3273603)])
def test_a_recorded_page_tells_what_the_cache_holds(version, tokens):
    samples = json.loads((WIRE / version / "metrics.json").read_text("utf-8"))["samples"]
    assert kv_cache_tokens("\n".join(samples)) == tokens


@pytest.mark.parametrize(
    ("labels", "tokens"),
    [
        (['block_size="16",num_gpu_blocks="512"'], 8192),
        (['block_size="16",engine="0",num_gpu_blocks="512"', 'block_size="16",num_gpu_blocks="8"'], 8320),
        (['block_size="16",num_gpu_blocks="512"', 'block_size="16",num_gpu_blocks="None"'], None),
        (['block_size="16",num_gpu_blocks="None"'], None),
        (['block_size="16"'], math.inf),
        (['num_gpu_blocks="512"'], None),
        ([], None),
    ],
)
def test_what_the_caches_of_all_engines_hold_is_summed(labels, tokens):
    page = "".join(f"vllm:cache_config_info{{{each}}} 1.0\n" for each in labels)
    assert kv_cache_tokens(page) == tokens
