"""Two servers behind one gateway, or one under two names: told by what answers."""

import asyncio
import dataclasses
import itertools

import pytest
from scripted_server import ScriptedServer, answer
from wire_transcripts import response_body

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.scenarios.devices import Access, Address, Waiting, probe_all
from pytest_gptoss.scenarios.told_apart import answer_prints, may_be_one

TURNS = itertools.count(1)
FACTS = ServerFacts("r", ("10.0.0.1:8000",), 0.0, ("m",), model="m")


def scores(value_of):
    """Scores of whatever is asked, by the model's name and the position."""

    async def handler(request, writer):
        body = request.json()
        rows = [
            {str(token): {"logprob": value_of(body["model"], place), "rank": 1}}
            for place, token in enumerate(body["prompt"])
        ]
        choice = {"index": 0, "text": "", "finish_reason": "length", "prompt_logprobs": [None, *rows[1:]]}
        usage = {"prompt_tokens": len(rows), "completion_tokens": 1, "total_tokens": len(rows) + 1}
        await answer({"choices": [choice], "usage": usage})(request, writer)

    return {"POST /v1/completions": handler}


async def prints(routes, *models):
    async with ScriptedServer(routes) as server:
        clients = []
        for model in models:
            client = VllmClient(Endpoint.parse(server.url), role="npu", timeouts=Timeouts(5, 5, 5))
            client.model = model
            clients.append(await client.__aenter__())
        try:
            return await answer_prints(clients)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)


@pytest.mark.asyncio
async def test_two_backends_differ_and_one_under_two_names_does_not():
    ours, theirs = await prints(
        scores(lambda model, place: -0.1 * place - 1e-12 * len(model)), "npu", "gpu-b"
    )
    assert ours
    assert theirs
    assert ours != theirs
    ours, theirs = await prints(scores(lambda model, place: -0.1 * place), "npu", "gpu-b")
    assert ours
    assert ours == theirs


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "routes",
    [
        {},
        {"POST /v1/completions": answer({"error": {"message": "Token id 4853 is out of vocabulary"}}, 400)},
        scores(lambda model, place: 0.0),
        scores(lambda model, place: -9999.0),
        scores(lambda model, place: -1e-9 * next(TURNS)),
    ],
    ids=["no endpoint", "another vocabulary", "zeros", "sentinels", "not repeatable"],
)
async def test_what_tells_nothing_is_none(routes):
    assert await prints(routes, "npu", "gpu") == [None, None]


def facts(**changes):
    return dataclasses.replace(FACTS, **changes)


@pytest.mark.parametrize(
    ("others", "suspects"),
    [
        ({"gpu": facts(addresses=("10.0.0.2:8000",))}, set()),
        ({"gpu": facts()}, set()),
        ({"gpu": facts(model="other")}, {"npu", "gpu"}),
        ({"gpu": facts(addresses=("10.0.0.2:8000",), started_s=7.25)}, {"npu", "gpu"}),
        ({"gpu": facts(addresses=("10.0.0.2:8000",), started_s=9.5)}, set()),
        ({"gpu": facts(model="other"), "cpu": facts(addresses=("10.0.0.3:8000",))}, {"npu", "gpu"}),
    ],
)
def test_only_those_that_may_be_one_are_asked(others, suspects):
    assert may_be_one({"npu": facts(started_s=7.25), **others}) == suspects


@pytest.mark.asyncio
@pytest.mark.parametrize("apart", [True, False])
async def test_probing_a_gateway_notes_what_each_name_answers(apart):
    names = ("oss-npu", "oss-gpu")
    listed = {"data": [{"id": name, "max_model_len": 8192} for name in names]}
    computed = scores(lambda model, place: -0.1 * place - (1e-9 if apart and model == "oss-gpu" else 0))
    routes = {
        "GET /v1/models": answer(listed),
        "POST /tokenize": answer(response_body("0.32.0", "tokenize_prompt")),
        **computed,
    }
    async with ScriptedServer(routes) as server:
        addresses = [
            Address(role, role, server.url, None, model)
            for role, model in zip(("npu", "gpu"), names, strict=True)
        ]
        access = Access(Timeouts(5, 5, 5), None, False)
        waiting = Waiting(1.0, lambda _: None, "r")
        met = await _probed(addresses, access, waiting)
    ours, theirs = (preflight.items[0] for _, preflight in met)
    assert (ours.model, theirs.model) == names
    assert ours.answers_sha256
    assert (ours.answers_sha256 != theirs.answers_sha256) == apart


async def _probed(addresses, access, waiting):
    """Probing has an event loop of its own; the scripted server needs this one meanwhile."""
    return await asyncio.to_thread(probe_all, addresses, access, waiting)
