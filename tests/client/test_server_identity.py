"""Who answers, read from a server whose every answer is written down."""

import dataclasses

import pytest
from scripted_server import ScriptedServer, answer, hang_up, silence

from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.scenarios import identity
from pytest_gptoss.scenarios.identity import Watch, read_identity, starts_of

MODELS = {"data": [{"id": "gpt-oss-20b", "root": "/models/gpt-oss-20b", "max_model_len": 8192}]}
INFO = {"vllm_config": {"model_config": {"dtype": "torch.bfloat16", "model": "/models/x"},
                        "scheduler_config": {"max_num_seqs": 256}, "odd": 3}}  # fmt: skip
FIRST, SECOND = 1795355900.25, 1795359500.5


def page(*starts):
    lines = [f'process_start_time_seconds{{pod="{place}"}} {start}' for place, start in enumerate(starts)]
    return "\n".join([*lines, "vllm:num_requests_running 0.0", ""])


def metrics(*starts):
    return answer(page(*starts), content_type="text/plain")


def sound(**changes):
    return {
        "GET /v1/models": answer(MODELS),
        "GET /metrics": metrics(FIRST),
        "GET /version": answer({"version": "0.18.0"}),
        "GET /server_info?config_format=json": answer(INFO),
    } | changes


def in_turn(*handlers):
    left = list(handlers)

    async def handler(request, writer):
        await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return handler


def client_of(server, key=None):
    endpoint = Endpoint.parse(server.url, api_key=Secret(key) if key else None)
    return VllmClient(endpoint, role="npu", timeouts=Timeouts(5, 5, 5))


async def read(routes, key=None):
    async with ScriptedServer(routes) as server, client_of(server, key) as client:
        return await read_identity(client)


async def looks(routes, count=1, known=None):
    async with ScriptedServer(routes) as server, client_of(server) as client:
        watch = Watch(client, {} if known is None else known, key="npu")
        return [await watch.look() for _ in range(count)], server.requests


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        (page(FIRST), (FIRST,)),
        ("process_start_time_seconds 1.76419e+09\n", (1.76419e9,)),
        (page(SECOND, FIRST, SECOND), (FIRST, SECOND)),
        ("process_start_time_seconds NaN\nprocess_start_time_seconds +Inf\n", ()),
        ("process_start_time_seconds soon\nprocess_start_time_seconds -1\n", ()),
        ("process_start_time_seconds 1e300\n", ()),
        ("vllm:num_requests_running 0.0\n", ()),
    ],
)
def test_the_starts_on_a_page(text, starts):
    assert starts_of(text) == starts


@pytest.mark.asyncio
async def test_all_that_a_server_tells_of_itself():
    found = await read(sound())
    assert found == ServerIdentity(
        (FIRST,), "gpt-oss-20b", "/models/gpt-oss-20b", "0.18.0", 8192,
        {"dtype": "torch.bfloat16", "model": "/models/x", "max_num_seqs": "256"},
    )  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/version", "/server_info?config_format=json"])
@pytest.mark.parametrize(
    "handler",
    [answer({"detail": "Not Found"}, 404), answer("<html>no", 502), answer("[1, {", 200), answer({}, 200),
     answer({"data": [{"id": "a"}, {"id": "b"}], "version": 7, "vllm_config": "text"}, 200)],
    ids=["404", "502", "no JSON", "empty", "another form"],
)  # fmt: skip
async def test_what_is_not_told_hides_nothing_else(path, handler):
    found = await read(sound(**{f"GET {path}": handler}))
    told = [bool(found.model), bool(found.starts), bool(found.version), bool(found.settings)]
    assert told.count(False) == 1


@pytest.mark.asyncio
async def test_a_server_that_is_gone_or_hangs_ends_the_reading(monkeypatch):
    assert await read(sound(**{"GET /v1/models": hang_up()})) == ServerIdentity((FIRST,))
    monkeypatch.setattr(identity, "READ_S", 0.2)
    assert await read(sound(**{"GET /version": silence()})) == dataclasses.replace(
        await read(sound()), version=None, settings={}
    )


@pytest.mark.asyncio
async def test_what_is_kept_holds_no_key():
    key = "sk-very-secret-1234567890"
    told = {"vllm_config": {"model_config": {"model": f"/models/{key}"}}}
    models = {"data": [{"id": "gpt-oss-20b", "root": f"/{key}"}]}
    found = await read(
        sound(**{"GET /server_info?config_format=json": answer(told), "GET /v1/models": answer(models)}), key
    )
    assert key not in repr(found)
    assert "***" in found.settings["model"]


@pytest.mark.asyncio
async def test_one_that_stays_is_read_once_a_look():
    seen, requests = await looks(sound(), 3)
    assert [len(each) for each in seen] == [1, 1, 1]
    assert len([each for each in requests if each.path == "/metrics"]) == 3


@pytest.mark.asyncio
async def test_a_restart_stays_and_a_replica_comes_back():
    known = {}
    (first,), _ = await looks(sound(), known=known)
    (restarted,), _ = await looks(sound(**{"GET /metrics": metrics(SECOND)}), known=known)
    assert [each.starts for each in (*first, *restarted)] == [(FIRST,), (SECOND,)]
    replicas = in_turn(metrics(FIRST), metrics(SECOND), metrics(FIRST), metrics(FIRST), metrics(SECOND))
    (seen,), _ = await looks(sound(**{"GET /metrics": replicas}), known=known)
    assert [each.starts for each in seen] == [(FIRST,), (SECOND,), (FIRST,), (SECOND,)]
    assert known["npu"].starts == (SECOND,)


@pytest.mark.asyncio
async def test_a_fact_that_comes_to_be_told_is_no_change():
    known = {}
    await looks(sound(**{"GET /metrics": answer({}, 404)}), known=known)
    (seen,), requests = await looks(sound(), known=known)
    assert len(seen) == 1
    assert len(requests) == 4
