"""Chunk edges measured on real servers: a fault there stands out, alone and beside other streams."""

import asyncio

import pytest

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.judge.metrics.chunked_prefill import BESIDE, chunked_prefill
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import KnownFact, ServerFacts
from pytest_gptoss.scenarios import corpus
from pytest_gptoss.scenarios.chunked import Scoring

SERVER = ServerFacts(
    "run", (), 0.0, ("m",), model="m", known=(KnownFact("max_num_batched_tokens", "512", "/server_info"),)
)
SEQUENCES = corpus.load_shipped("long-embedded").sequences


def scored(url, device, beside=0):
    async def run():
        async with VllmClient(Endpoint.parse(url), role="npu") as client:
            return tuple([await Scoring(client, beside).score(each) for each in SEQUENCES])

    return Measurement(f"chunked-{device}-beside{beside}", device, asyncio.run(run()))


@pytest.fixture(scope="module")
def baseline(embedded_pair):
    return scored(embedded_pair["gpu"], "gpu")


def judged(url, gpu):
    return chunked_prefill(
        server=Measurement("preflight-npu", "npu", (SERVER,)),
        alone=scored(url, "npu"),
        beside=scored(url, "npu", BESIDE),
        gpu=gpu,
        stated={},
    )


def test_two_precisions_of_one_implementation_do_not_differ_at_edges(embedded_pair, baseline):
    assert abs(judged(embedded_pair["npu"], baseline).value) < 0.01


def test_a_fault_behind_chunk_edges_breaks_the_limit_alone_and_beside(reference_server, baseline):
    result = judged(reference_server(defect="chunk-edge", dtype="bfloat16").url, baseline)
    assert result.details["scored_alone"]["difference"] > 0.1
    assert result.details["scored_beside"]["difference"] > 0.1
    assert result.interval[0] > 0.1
