"""What a starting vLLM is doing, by its log."""

import pytest

from pytest_gptoss.servers.stages import last_lines, port_told, stage_of


@pytest.mark.parametrize(
    ("log", "stage"),
    [
        ("", None),
        ("nothing that tells", None),
        ("INFO [api_server.py:1] vLLM API server version 0.32.0\n", "beginning"),
        ("Loading safetensors checkpoint shards:  40% Completed | 2/5\n", "loading 40%"),
        ("Loading a checkpoint shards: 40%|a\rLoading a checkpoint shards: 60%|b", "loading 60%"),
        ("Loading weights took 3.1 seconds\nINFO Dynamo bytecode transform time: 4 s\n", "compiling"),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  67%|###\n", "capturing graphs 67%"),
        ("Graph capturing finished in 5 secs\nINFO: other\n", "graphs captured"),
        ("INFO:     Application startup complete.\n", "started"),
    ],
)  # fmt: skip
def test_the_last_telling_line_says_the_stage(log, stage):
    assert stage_of(log) == stage


@pytest.mark.parametrize(
    ("log", "port"),
    [
        ("INFO: Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C)", 8000),
        ("INFO Starting vLLM server on http://[::]:8123", 8123),
        ("INFO Starting vLLM API server 0 on http://0.0.0.0:8001\n", 8001),
        ("downloaded from https://example.com:443", None),
    ],
)
def test_the_port_of_a_log(log, port):
    assert port_told(log) == port


def test_the_last_lines_of_a_log():
    assert last_lines("one\n\ntwo\rthree\r\n  four  \nfive\n") == ["three", "four", "five"]
