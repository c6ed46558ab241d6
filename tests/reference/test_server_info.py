"""/server_info is there in development mode only, in both of vLLM's forms."""

import asyncio

import httpx
import pytest
from scripted_engine import ScriptedEngine

from pytest_gptoss.reference.server import create_app
from pytest_gptoss.reference.service import Service
from pytest_gptoss.scenarios.server_facts import facts_of_server_info


def _get(path):
    app = create_app(Service(ScriptedEngine([]), model="gpt-oss-20b", root="tiny", dtype="bfloat16"))

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(send())


@pytest.fixture
def development(monkeypatch):
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")


@pytest.mark.parametrize("mode", [None, "", "0"])
def test_it_is_not_there_otherwise(mode, monkeypatch):
    if mode is None:
        monkeypatch.delenv("VLLM_SERVER_DEV_MODE", raising=False)
    else:
        monkeypatch.setenv("VLLM_SERVER_DEV_MODE", mode)
    assert _get("/server_info").status_code == 404


def test_the_facts_that_preflight_reads(development):
    found = {
        fact.name: fact.value for fact in facts_of_server_info(_get("/server_info?config_format=json").json())
    }
    assert found["dtype"] == "torch.bfloat16"
    assert found["quantization"] == "None"
    assert found["torch"]


def test_text_is_the_default_form(development):
    config = _get("/server_info").json()["vllm_config"]
    assert "dtype=torch.bfloat16" in config
    assert "quantization=None" in config


def test_it_tells_what_a_step_takes_on(development):
    config = _get("/server_info?config_format=json").json()["vllm_config"]
    assert config["scheduler_config"]["max_num_batched_tokens"] == 512
    assert config["scheduler_config"]["max_num_seqs"] == 16
    assert config["cache_config"] == {"block_size": 16, "num_gpu_blocks": None}
