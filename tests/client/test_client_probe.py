import pytest
from scripted_server import ScriptedServer, answer, events, hang_up, silence, stream
from wire_transcripts import VERSIONS, response_body, sse_chunks

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.client.probe import probe
from pytest_gptoss.model.errors import ConnectError, RequestError, RequestTimeout, StatusError

pytestmark = pytest.mark.asyncio

CHAT = "POST /v1/chat/completions"
COMPLETIONS = "POST /v1/completions"
NOT_THERE = answer({"detail": "Not Found"}, 404)


def one_token(version, name):
    """The recorded stream cut down to its first token, as ``max_tokens`` 1 gives it."""
    chunks = sse_chunks(version, name)
    first = next(place for place, chunk in enumerate(chunks) if chunk["choices"][0].get("token_ids"))
    chunks[first]["choices"][0]["finish_reason"] = "length"
    chunks[-1]["usage"].update(completion_tokens=1)
    return stream(events(*chunks[: first + 1], chunks[-1]))


def completions(version):
    """Streams a token, or answers two tokens' scores, whichever the request asks for."""

    async def handler(request, writer):
        if request.json().get("stream"):
            await one_token(version, "completion_stream_token_ids")(request, writer)
            return
        scored = response_body(version, "completion_prompt_logprobs")
        scored["choices"][0]["prompt_logprobs"] = scored["choices"][0]["prompt_logprobs"][:2]
        await answer(scored)(request, writer)

    return handler


def generating(version):
    return {
        "GET /v1/models": answer(response_body(version, "models")),
        "GET /version": answer(response_body(version, "version")),
        "GET /metrics": answer("vllm:prefix_cache_hits_total 0.0\n", content_type="text/plain"),
        "POST /tokenize": answer(response_body(version, "tokenize_prompt")),
        CHAT: one_token(version, "chat_stream_logprobs_token_ids"),
        COMPLETIONS: completions(version),
    }


def pooling(version):
    return {
        "GET /v1/models": answer(response_body(version, "pooling_models")),
        "GET /version": answer(response_body(version, "version")),
        "POST /pooling": pooled(version),
    }


def pooled(version):
    async def handler(request, writer):
        refused = request.json()["encoding_format"] == "bytes"
        floats = answer(response_body(version, "pooling_float_token_ids"))
        await (answer({"detail": "no bytes"}, 422) if refused else floats)(request, writer)

    return handler


async def probed(routes, *, role="npu", name="npu", label=None, model=None, timeouts=None):
    async with (
        ScriptedServer(routes) as server,
        VllmClient(
            Endpoint.parse(server.url), role=role, timeouts=timeouts or Timeouts(20, 20, 20)
        ) as client,
    ):
        device = await probe(client, role=role, name=name, label=label, model=model)
        assert client.model == device.model
        assert device.url == server.url
        return device, server.requests


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_generating_server_of_either_generation_is_known_after_a_few_small_requests(version):
    device, requests = await probed(generating(version))
    can = device.capabilities
    assert (can.chat, can.token_ids, can.logprobs, can.prompt_logprobs) == (True, True, True, True)
    assert (can.token_prompts, can.tokenize, can.metrics, can.pooling) == (True, True, True, False)
    assert list(can.notes) == ["pooling"]
    assert "--runner pooling" in can.notes["pooling"]
    assert (device.role, device.name, device.model) == ("npu", "npu", "gpt-oss-20b")
    assert (device.label, device.server_version, device.max_model_len) == (f"vLLM {version}", version, 8192)
    assert len(requests) == 8
    assert all(each.json().get("max_tokens", 1) == 1 for each in requests if each.body)
    assert all(each.json()["model"] == "gpt-oss-20b" for each in requests if each.body)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_pooling_server_is_told_by_what_it_refuses(version):
    device, _ = await probed(pooling(version), role="gpu", name="gpu", label="H200")
    can = device.capabilities
    assert can.pooling
    assert not any(
        (can.chat, can.token_ids, can.logprobs, can.prompt_logprobs, can.token_prompts, can.metrics)
    )
    assert set(can.notes) == {
        "chat", "token_ids", "logprobs", "prompt_logprobs", "token_prompts", "tokenize", "metrics"
    }  # fmt: skip
    assert (device.label, device.name) == ("H200", "gpu")


async def test_a_server_without_token_ids_and_scores_is_told():
    routes = generating("0.32.0")
    plain = {"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    routes[CHAT] = stream(events(plain, usage))
    routes[COMPLETIONS] = NOT_THERE
    routes["GET /version"] = NOT_THERE  # so the name has to do for a label
    routes["GET /metrics"] = answer("process_cpu_seconds_total 1.0\n", content_type="text/plain")
    device, _ = await probed(routes, name="tp8")
    can = device.capabilities
    assert (can.chat, can.token_ids, can.logprobs, can.prompt_logprobs) == (True, False, False, False)
    assert (can.token_prompts, can.metrics) == (False, False)
    assert "return_token_ids is not heeded" in can.notes["token_ids"]
    assert "by token id" in can.notes["logprobs"]
    assert "no vllm: counters" in can.notes["metrics"]
    assert (device.label, device.server_version) == ("tp8", None)


async def test_a_server_whose_logprobs_fail_can_still_chat():
    good = one_token("0.32.0", "chat_stream_token_ids_continuous_usage")

    async def without_logprobs(request, writer):
        failed = answer({"error": {"message": "Out of range float values are not JSON compliant"}}, 500)
        await (failed if "logprobs" in request.json() else good)(request, writer)

    device, requests = await probed({**generating("0.32.0"), CHAT: without_logprobs})
    can = device.capabilities
    assert (can.chat, can.token_ids, can.logprobs) == (True, True, False)
    assert "not JSON compliant" in can.notes["logprobs"]
    assert len(requests) == 9


async def test_a_version_that_is_no_number_is_the_label_itself():
    routes = {**generating("0.32.0"), "GET /version": answer({"version": "reference, float32 on CPU"})}
    device, _ = await probed(routes)
    assert device.label == device.server_version == "reference, float32 on CPU"


def listing(*names):
    return {"GET /v1/models": answer({"data": [{"id": name} for name in names]})}


@pytest.mark.parametrize(
    ("role", "served", "wanted", "said"),
    [
        ("npu", ["a", "b"], None, "2 models are served (a, b): name one with --gptoss-npu-model"),
        ("gpu", [], None, "0 models are served (none): name one with --gptoss-gpu-model"),
        ("cpu", ["/models/gpt-oss-20b"], "gpt-oss-20b", "model 'gpt-oss-20b' is not served; served: "
         "/models/gpt-oss-20b: correct --gptoss-cpu-model-name"),
    ],
)  # fmt: skip
async def test_a_model_that_is_not_clear_is_asked_for(role, served, wanted, said):
    with pytest.raises(RequestError) as caught:
        await probed(listing(*served), role=role, model=wanted)
    assert said in str(caught.value)


async def test_the_named_one_of_several_models_is_taken():
    device, requests = await probed({**generating("0.32.0"), **listing("a", "b")}, model="b")
    assert (device.model, device.max_model_len) == ("b", None)
    assert {each.json()["model"] for each in requests if each.body} == {"b"}


@pytest.mark.parametrize(
    ("routes", "kind", "said"),
    [
        ({"GET /v1/models": answer("<html>Not Found</html>", 404, "text/html")}, StatusError, "--npu-url"),
        ({"GET /v1/models": answer({"error": "Unauthorized"}, 401)}, StatusError, "GPTOSS_NPU_API_KEY"),
        (
            {**generating("0.32.0"), CHAT: answer({"error": "Unauthorized"}, 401)},
            StatusError,
            "GPTOSS_NPU_API_KEY",
        ),
        ({"GET /v1/models": hang_up()}, ConnectError, "closed before an answer"),
        ({**generating("0.32.0"), COMPLETIONS: hang_up()}, ConnectError, "closed before an answer"),
        ({**generating("0.32.0"), CHAT: silence()}, RequestTimeout, "no first token"),
    ],
)
async def test_a_server_that_is_gone_or_refuses_is_no_missing_capability(routes, kind, said):
    with pytest.raises(kind) as caught:
        await probed(routes, timeouts=Timeouts(20, 0.3, 20))
    assert said in str(caught.value)
