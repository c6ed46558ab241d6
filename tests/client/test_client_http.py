"""The client against real connections: recorded answers, and everything that can break on the way."""

import asyncio
import base64
import contextlib
import json
import logging
import socket
import ssl
import subprocess
import time
import traceback

import numpy as np
import pytest
from scripted_server import ScriptedServer, answer, events, hang_up, silence, stream
from wire_transcripts import VERSIONS, response_body, sse, transcript

from pytest_gptoss.client.channel import Channel
from pytest_gptoss.client.connection import proxy_variables
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.http import ServedModel, Timeouts, VllmClient
from pytest_gptoss.model.errors import (
    ConnectError,
    DialectError,
    RequestError,
    RequestTimeout,
    StatusError,
    StreamError,
    TlsError,
    UnknownHost,
    UsageError,
)
from pytest_gptoss.model.inputs import Message, Prompt, TokenSequence

pytestmark = pytest.mark.asyncio

CHAT = "POST /v1/chat/completions"
COMPLETIONS = "POST /v1/completions"
PROMPT = Prompt("sum", (Message("user", "What is 2+2?"),))
IDS = (976, 4853, 19705, 68347)
PATIENT = Timeouts(connect=20, first_token=20, between_tokens=20)
"""For what must not run out: far beyond any pause of a busy machine."""
SHORT = 0.3
HANGING = 60
"""Nothing here takes so long unless a wait has lost its bound."""
NEVER = 10 * HANGING
TOKEN = {"choices": [{"delta": {"content": "x"}, "token_ids": [5]}]}
END = (
    {"choices": [{"delta": {}, "finish_reason": "stop", "token_ids": []}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
)
PAGE = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1>nginx</body></html>"


def client_of(url, *, role="npu", key=None, model=None, timeouts=PATIENT, **kwargs):
    endpoint = Endpoint.parse(url, model=model, api_key=Secret(key) if key else None)
    return VllmClient(endpoint, role=role, timeouts=timeouts, **kwargs)


@contextlib.asynccontextmanager
async def asking(routes, **kwargs):
    async with ScriptedServer(routes) as server, client_of(server.url, **kwargs) as client:
        client.server = server
        yield client


async def failure(request, kind):
    """The message of the error that a request must end in: of that very class, one line, and short."""
    with pytest.raises(RequestError) as caught:
        await asyncio.wait_for(request, HANGING)
    assert type(caught.value) is kind, repr(caught.value)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    # What httpx raised is not shown below it: its frames hold the request's headers.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return message


# -- answers of two generations, over a wire that may dribble ---------------------------------


@pytest.mark.parametrize("dribble", [0, 3])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_chat_stream_arrives_whole(version, dribble):
    raw = sse(version, "chat_stream_logprobs_token_ids")
    async with asking({CHAT: stream(raw, dribble=dribble)}, model="gpt-oss-20b") as client:
        first = await client.chat(PROMPT, max_tokens=64, top_logprobs=1, cache_salt="s-1")
        second = await client.chat(PROMPT, max_tokens=64, top_logprobs=1)
        sent = client.server.requests
    assert first.prompt_id == "sum"
    assert first.content == "2 + 2 = 4."
    assert len(first.token_ids) == first.completion_tokens == 33
    assert first.token_ids == second.token_ids
    recorded = transcript(version, "chat_stream_logprobs_token_ids")["request"]["body"]
    assert sent[0].json() == {**recorded, "top_p": 1, "cache_salt": "s-1"}
    assert sent[1].json() == {**recorded, "top_p": 1}
    assert "authorization" not in sent[0].headers


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_completion_stream_arrives_whole(version):
    async with asking({COMPLETIONS: stream(sse(version, "completion_stream_token_ids"))}) as client:
        answered = await client.complete(IDS, prompt_id="fox", max_tokens=12, top_logprobs=None)
        assert client.server.requests[0].json()["prompt"] == list(IDS)
    assert answered.prompt_token_ids == IDS
    assert (answered.content, answered.reasoning) == (" jumps over the lazy dog.\n\nThe end.", "")


@pytest.mark.parametrize("version", VERSIONS)
async def test_recorded_scores_hidden_states_and_facts_arrive(version):
    pooled = transcript(version, "pooling_bytes")["response"]["headers"]["metadata"]
    states = base64.b64decode(response_body(version, "pooling_base64")["data"][0]["data"])
    routes = {
        COMPLETIONS: answer(response_body(version, "completion_prompt_logprobs")),
        "POST /pooling": answer(states, content_type="application/octet-stream", metadata=pooled),
        "POST /tokenize": answer(response_body(version, "tokenize_prompt")),
        "GET /v1/models": answer(response_body(version, "models")),
        "GET /version": answer(response_body(version, "version")),
        "GET /metrics": answer("vllm:num_requests_running 0.0\n", content_type="text/plain"),
    }
    async with asking(routes, model="gpt-oss-20b") as client:
        scored = await client.score(TokenSequence("fox", IDS), top=5)
        hidden = await client.hidden(IDS, "fox")
        assert await client.tokenize("The quick brown fox") == IDS
        assert await client.models() == (ServedModel("gpt-oss-20b", 8192, "/models/gpt-oss-20b"),)
        assert await client.version() == version
        assert "vllm:num_requests_running" in await client.metrics_text()
        assert all(each.json()["model"] == "gpt-oss-20b" for each in client.server.requests if each.body)
    assert scored.logprobs[0] == -12.825441360473633
    assert hidden.states.shape == (4, 64)
    assert hidden.states.dtype == np.float32


async def test_many_requests_run_side_by_side():
    waiting = 0
    all_there = asyncio.Event()

    async def only_together(request, writer):
        nonlocal waiting
        waiting += 1
        if waiting == 32:
            all_there.set()
        await all_there.wait()
        await answer({"version": "1"})(request, writer)

    async with asking({"GET /version": only_together}) as client:
        assert await asyncio.gather(*(client.version() for _ in range(32))) == ["1"] * 32


async def test_a_server_that_closes_without_a_word_loses_nothing():
    async def closing(request, writer):
        await stream(events(TOKEN, *END))(request, writer)
        writer.close()

    async with asking({CHAT: closing}) as client:
        for _ in range(50):
            assert (await client.chat(PROMPT, max_tokens=1)).content == "x"


# -- waits ------------------------------------------------------------------------------------


async def test_a_first_token_that_does_not_come_is_its_own_error():
    never = asyncio.Event()
    role = events({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, done=False)
    timeouts = Timeouts(first_token=SHORT, between_tokens=20)
    async with asking({CHAT: stream(role, never)}, timeouts=timeouts) as client:
        message = await failure(client.chat(PROMPT, max_tokens=1), RequestTimeout)
    assert f"{client.endpoint.root}/v1/chat/completions" in message
    assert "no first token within 0.3 s" in message
    assert "--gptoss-first-token-timeout" in message


async def test_a_gap_between_tokens_is_its_own_error():
    never = asyncio.Event()
    timeouts = Timeouts(first_token=NEVER, between_tokens=SHORT)
    async with asking({CHAT: stream(events(TOKEN, done=False), never)}, timeouts=timeouts) as client:
        message = await failure(client.chat(PROMPT, max_tokens=9), RequestTimeout)
    assert "no further token or end after 1 events with tokens within 0.3 s" in message
    assert "--gptoss-timeout" in message


@pytest.mark.parametrize("first", [0, 1])
async def test_pings_and_dribbling_bytes_extend_no_wait(first):
    async def pinging(request, writer):
        await stream(events(*[TOKEN] * first, done=False), end=True)(request, _Unended(writer))
        while True:
            writer.write(b"8\r\n: ping\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    timeouts = Timeouts(first_token=SHORT, between_tokens=SHORT)
    async with asking({CHAT: pinging}, timeouts=timeouts) as client:
        await failure(client.chat(PROMPT, max_tokens=9), RequestTimeout)


class _Unended:
    """A writer that leaves the last chunk out."""

    def __init__(self, writer):
        self.drain = writer.drain
        self._write = writer.write

    def write(self, data):
        if data != b"0\r\n\r\n":
            self._write(data)


async def test_a_server_that_says_nothing_at_all_is_given_up():
    timeouts = Timeouts(first_token=SHORT, between_tokens=SHORT)
    routes = {CHAT: silence(), COMPLETIONS: silence(), "GET /v1/models": silence()}
    async with asking(routes, timeouts=timeouts) as client:
        assert "no first token" in await failure(client.chat(PROMPT, max_tokens=1), RequestTimeout)
        message = await failure(client.score(TokenSequence("fox", IDS)), RequestTimeout)
        assert "no whole answer within 0.6 s" in message
        assert "--gptoss-first-token-timeout" in message
        message = await failure(client.models(), RequestTimeout)
        assert "within 0.3 s" in message
        assert "--gptoss-timeout" in message


async def test_a_bound_on_whole_answers_is_kept_and_its_option_named():
    timeouts = Timeouts.for_unary_answers(SHORT, "--timeout")
    async with asking({COMPLETIONS: silence()}, timeouts=timeouts) as client:
        message = await failure(client.score(TokenSequence("fox", IDS)), RequestTimeout)
    assert "no whole answer within 0.3 s" in message
    assert message.endswith("allow more with --timeout")


async def test_after_a_time_out_the_client_goes_on():
    timeouts = Timeouts(first_token=SHORT, between_tokens=20)
    async with asking(
        {CHAT: silence(), "GET /version": answer({"version": "1"})}, timeouts=timeouts
    ) as client:
        await failure(client.chat(PROMPT, max_tokens=1), RequestTimeout)
        assert await client.version() == "1"


async def test_a_connection_that_stays_open_after_the_end_costs_no_answer():
    never = asyncio.Event()
    async with asking({CHAT: stream(events(TOKEN, *END), never)}) as client:
        answered = await asyncio.wait_for(client.chat(PROMPT, max_tokens=1), HANGING)
    assert answered.content == "x"


async def test_a_cancelled_request_ends_at_once_and_is_no_time_out():
    arrived = asyncio.Event()
    async with asking({CHAT: silence(arrived)}) as client:
        task = asyncio.ensure_future(client.chat(PROMPT, max_tokens=1))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_wait_for_the_first_token_grows_with_the_prompt():
    rule = Timeouts()
    assert rule.first_token_timeout(0) == 60
    assert rule.first_token_timeout(131_072) == 60 + 131_072 / 200
    assert Timeouts(first_token=5).first_token_timeout(131_072) == 5


# -- connections that break -------------------------------------------------------------------


async def test_a_dead_port_is_a_connect_error():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        async with client_of(url) as client:
            message = await failure(client.models(), ConnectError)
    assert f"GET {url}/v1/models: no server answers there (Connection refused)" in message
    assert "--npu-url" in message


async def test_an_unknown_host_is_told_apart():
    async with client_of("http://no-such-host.invalid:8000", role="gpu") as client:
        message = await failure(client.models(), UnknownHost)
    assert "no-such-host.invalid" in message
    assert "--gpu-url" in message


@pytest.mark.parametrize("first", [b"", b"\x15\x03\x01\x00\x02\x02\x16", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_connection_closed_before_an_answer_is_a_connect_error(first):
    async with asking({CHAT: hang_up(first), "GET /v1/models": hang_up(first)}) as client:
        for request in (client.chat(PROMPT, max_tokens=1), client.models()):
            message = await failure(request, ConnectError)
            assert "closed before an answer came" in message


async def test_an_answer_cut_in_its_middle_is_a_connect_error():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    async with asking({"GET /v1/models": hang_up(head)}) as client:
        message = await failure(client.models(), ConnectError)
    assert "in the middle of the answer, after 1 bytes" in message


async def test_a_stream_closed_in_its_middle_is_a_stream_error():
    async with asking({CHAT: stream(events(TOKEN, TOKEN, done=False), end=False)}) as client:
        message = await failure(client.chat(PROMPT, max_tokens=9), StreamError)
    assert "closed in mid-stream, after 2 events with tokens" in message


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (events(TOKEN, *END, done=False), "ended without [DONE], after 1 events"),
        (events(TOKEN, *END)[:-1], "ended without [DONE]"),
        (events(TOKEN, END[0]), "ended without usage"),
        (events(TOKEN, END[1]), "ended without finish_reason"),
        (b"", "ended without finish_reason, usage and [DONE]"),
        (events(TOKEN, {"error": {"message": "engine\n died"}}), "carries an error (engine died)"),
        (b"data: <html>\n\n", "expected a JSON object"),
    ],
)
async def test_a_stream_that_lacks_something_is_a_stream_error(raw, said):
    async with asking({CHAT: stream(raw)}) as client:
        message = await failure(client.chat(PROMPT, max_tokens=1), StreamError)
    assert message.startswith(f"POST {client.endpoint.root}/v1/chat/completions: ")
    assert said in message


async def test_a_stream_in_other_counts_than_its_usage_is_a_dialect_error():
    async with asking({CHAT: stream(events(TOKEN, TOKEN, *END))}) as client:
        message = await failure(client.chat(PROMPT, max_tokens=9), DialectError)
    assert "2 token ids came, but usage counts 1 completion tokens" in message


async def test_a_failed_request_is_not_sent_again():
    async with asking({CHAT: hang_up(), COMPLETIONS: answer({"error": "no"}, 500)}) as client:
        await failure(client.chat(PROMPT, max_tokens=1), ConnectError)
        await failure(client.score(TokenSequence("fox", IDS)), StatusError)
        assert len(client.server.requests) == 2


async def test_answers_without_end_are_cut_off(monkeypatch):
    async def endless(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            writer.write(b": " + b"x" * 1000 + b"\n")
            await writer.drain()

    for bound in ("MAX_ANSWER_BYTES", "MAX_STREAM_BYTES"):
        monkeypatch.setattr(f"pytest_gptoss.client.channel.{bound}", 100_000)
    async with asking({CHAT: endless, "GET /metrics": endless}) as client:
        assert "more than 100000 bytes" in await failure(client.chat(PROMPT, max_tokens=1), StreamError)
        assert "more than 100000 bytes" in await failure(client.metrics_text(), DialectError)


# -- answers that are no answers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "way_out"),
    [
        ("error_unknown_model", 404, "--gptoss-npu-model"),
        ("error_unknown_endpoint", 404, "the root of the vLLM server? check --npu-url"),
        ("error_context_too_long", 400, "--max-model-len"),
        ("error_prompt_exactly_max_len", 400, "--max-model-len"),
        ("error_top_logprobs_too_many", 400, "--max-logprobs 99"),
        ("auth_missing", 401, "set GPTOSS_NPU_API_KEY"),
        ("error_bad_type", 400, "does not take this request"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_refusal_gives_reason_and_way_out(version, name, status, way_out):
    async with asking({CHAT: answer(response_body(version, name), status)}) as client:
        message = await failure(client.chat(PROMPT, max_tokens=1), StatusError)
    assert message.startswith(f"POST {client.endpoint.root}/v1/chat/completions answered {status} ")
    assert way_out in message


async def test_a_status_error_carries_its_status():
    async with asking({CHAT: answer(response_body("0.18.1", "engine_died_chat"), 500)}) as client:
        with pytest.raises(
            StatusError, match=r"EngineCore encountered an issue.*see the server's log"
        ) as caught:
            await client.chat(PROMPT, max_tokens=1)
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("status", "way_out"),
    [(403, "set GPTOSS_CPU_API_KEY"), (429, "limits the rate"), (503, "starting, overloaded or dead"),
     (599, "see the server's log"), (405, "check --cpu-url")],
)  # fmt: skip
async def test_other_statuses_have_their_way_out_too(status, way_out):
    async with asking({"GET /v1/models": answer(b"", status)}, role="cpu") as client:
        assert way_out in await failure(client.models(), StatusError)


async def test_a_refused_key_is_told_from_a_missing_one():
    async with asking({"GET /v1/models": answer({"error": "Unauthorized"}, 401)}, key="sk-wrong") as client:
        message = await failure(client.models(), StatusError)
    assert "answered 401 Unauthorized (Unauthorized): the key in GPTOSS_NPU_API_KEY" in message


async def test_the_web_page_of_a_proxy_is_told_from_vllm():
    routes = {
        "GET /v1/models": answer(PAGE, 404, "text/html"),
        "GET /version": answer(PAGE, 200, "text/html"),
        "POST /tokenize": answer(PAGE, 200, "text/html"),
        CHAT: answer(PAGE, 200, "text/html"),
    }
    async with asking(routes, role="gpu") as client:
        message = await failure(client.models(), StatusError)
        assert "404 Not Found (a web page: 404 Not Found Not Found nginx)" in message
        assert "check --gpu-url" in message
        message = await failure(client.chat(PROMPT, max_tokens=1), DialectError)
        assert "expected an event stream, but a web page came (404 Not Found" in message
        message = await failure(client.tokenize("x"), DialectError)
        assert "expected JSON, but a web page came" in message
        assert await client.version() is None


async def test_an_answer_that_is_no_stream_is_a_dialect_error():
    async with asking({CHAT: answer(response_body("0.32.0", "chat_plain"))}) as client:
        message = await failure(client.chat(PROMPT, max_tokens=1), DialectError)
    assert "expected an event stream, but application/json came" in message


async def test_redirects_are_not_followed():
    async with ScriptedServer({}) as other:
        there = answer(b"", 307, Location=f"{other.url.replace('//', '//user:pw@')}/v1/models?token=abc")
        async with asking({"GET /v1/models": there}, key="sk-secret") as client:
            message = await failure(client.models(), StatusError)
        assert other.requests == []
    assert f"redirects to {other.url}/v1/models, and redirects are not followed" in message
    assert "pw" not in message
    assert "abc" not in message


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/models", {}, "expected a JSON object with 'data'"),
        ("/v1/models", {"data": ["x"]}, "expected a JSON object with 'id'"),
        ("/v1/models", [1], "expected a JSON object with 'data', but [1] came"),
        ("/v1/models", b"{", "expected JSON, but something else came ({)"),
        ("/v1/models", b"[" * 9999, "expected JSON, but something else came"),
    ],
)
async def test_json_of_another_form_is_a_dialect_error(path, body, said):
    async with asking({f"GET {path}": answer(body)}) as client:
        message = await failure(client.models(), DialectError)
    assert message.startswith(f"GET {client.endpoint.root}{path}: ")
    assert said in message


async def test_a_server_without_scores_says_so():
    async with asking({COMPLETIONS: answer(response_body("0.32.0", "completion_plain"))}) as client:
        message = await failure(client.score(TokenSequence("fox", IDS)), DialectError)
    assert "/v1/completions: the answer holds no prompt_logprobs" in message


# -- hidden states ----------------------------------------------------------------------------


async def test_a_server_that_refuses_bytes_is_asked_for_numbers_from_then_on():
    async def numbers_only(request, writer):
        refused = request.json()["encoding_format"] == "bytes"
        reply = (
            answer({"error": {"message": "Input should be 'float'"}}, 422)
            if refused
            else answer(response_body("0.32.0", "pooling_float_token_ids"))
        )
        await reply(request, writer)

    async with asking({"POST /pooling": numbers_only}) as client:
        for _ in range(2):
            assert (await client.hidden(IDS[:2], "fox")).states.shape == (2, 64)
        asked = [each.json()["encoding_format"] for each in client.server.requests]
    assert asked == ["bytes", "float", "float"]


async def test_a_refusal_for_another_reason_is_raised_and_bytes_stay_asked_for():
    too_long = response_body("0.18.1", "error_pooling_too_long")
    async with asking({"POST /pooling": answer(too_long, 400)}) as client:
        for _ in range(2):
            assert "--max-model-len" in await failure(client.hidden(IDS, "fox"), StatusError)
        asked = [each.json()["encoding_format"] for each in client.server.requests]
    assert asked == ["bytes", "float"] * 2


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_generating_server_says_where_hidden_states_come_from(version):
    recorded = response_body(version, "pooling_on_generate_server")
    async with asking({"POST /pooling": answer(recorded, 404)}, role="gpu") as client:
        message = await failure(client.hidden(IDS, "fox"), StatusError)
        assert len(client.server.requests) == 1
    assert "--runner pooling" in message
    assert "--gptoss-hidden-gpu" in message


# -- TLS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1: (certificate file, key file)."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2",
               "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
               "-subj", "/CN=npu", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", "key.pem", "-out", "cert.pem"]  # fmt: skip
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return folder / "cert.pem", folder / "key.pem"


@contextlib.asynccontextmanager
async def tls_server(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with ScriptedServer({"GET /version": answer({"version": "1"})}, ssl=context) as server:
        yield server


async def test_a_certificate_in_the_bundle_convinces(certificate):
    async with tls_server(certificate) as server, client_of(server.url, ca_bundle=certificate[0]) as client:
        assert await client.version() == "1"


async def test_a_certificate_that_nobody_signed_is_a_tls_error(certificate):
    async with tls_server(certificate) as server, client_of(server.url) as client:
        message = await failure(client.models(), TlsError)
        assert "certificate verification failed (self" in message
        assert "--gptoss-ca-bundle" in message
        assert server.requests == []


async def test_a_certificate_for_another_host_is_a_tls_error(certificate):
    async with tls_server(certificate) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with client_of(url, ca_bundle=certificate[0]) as client:
            message = await failure(client.models(), TlsError)
    assert "localhost" in message


async def test_https_to_a_server_that_speaks_http_is_a_tls_error():
    async def refuse(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client_of(url) as client:
        message = await failure(client.models(), TlsError)
    assert "does the server speak https at all?" in message


async def test_a_bundle_without_certificates_is_a_usage_error(tmp_path):
    bundle = tmp_path / "empty.pem"
    bundle.write_text("nothing")
    with pytest.raises(UsageError, match=r"--gptoss-ca-bundle .*empty.pem' holds no certificates"):
        client_of("https://npu:8000", ca_bundle=bundle)


# -- proxies ----------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


async def test_the_environments_proxy_is_ignored_and_told(no_proxies):
    async with ScriptedServer({}) as proxy:
        no_proxies.setenv("HTTP_PROXY", proxy.url)
        no_proxies.setenv("HTTPS_PROXY", proxy.url)
        async with asking({"GET /version": answer({"version": "1"})}) as client:
            assert await client.version() == "1"
            assert proxy_variables(client.endpoint.root) == ("HTTP_PROXY",)
        assert proxy.requests == []


async def test_the_environments_proxy_is_used_on_request(no_proxies):
    async with ScriptedServer({"GET http://npu.invalid/version": answer({"version": "7"})}) as proxy:
        no_proxies.setenv("HTTP_PROXY", proxy.url)
        async with client_of("http://npu.invalid", trust_env=True) as client:
            assert await client.version() == "7"


async def test_hosts_without_proxy_are_no_matter_for_a_note(no_proxies):
    no_proxies.setenv("ALL_PROXY", "socks5://proxy:1080")
    assert proxy_variables("http://127.0.0.1:1") == ("ALL_PROXY",)
    no_proxies.setenv("NO_PROXY", "127.0.0.1")
    assert proxy_variables("http://127.0.0.1:1") == ()


async def test_a_proxy_that_cannot_be_used_is_a_usage_error_without_its_password(no_proxies):
    no_proxies.setenv("ALL_PROXY", "nonsense://user:hunter2@proxy:1080")
    with pytest.raises(UsageError, match="the proxy in ALL_PROXY cannot be used") as caught:
        client_of("http://npu:8000", trust_env=True)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# -- the API key ------------------------------------------------------------------------------

KEY = "sk-8f3b/c2'e1d4a5b6c7d8"


async def test_the_key_goes_to_the_server_and_into_no_word_of_ours(caplog):
    caplog.set_level(logging.DEBUG)
    echo = f"you sent Bearer {KEY}"

    async def echoing(request, writer):
        body = json.dumps({"error": {"message": "x" * 170 + echo}})
        await answer(body, 400)(request, writer)

    routes = {
        CHAT: stream(events(TOKEN, {"error": {"message": echo}})),
        COMPLETIONS: echoing,
        "GET /v1/models": answer({"data": [{"nothing": echo}]}),
        "GET /metrics": answer(f"<html>{echo}</html>", 500, "text/html"),
        "POST /tokenize": answer(echo),
    }
    shown = []
    async with asking(routes, key=KEY) as client:
        for request in (
            client.chat(PROMPT, max_tokens=9),
            client.complete(IDS, prompt_id="p", max_tokens=1),
            client.score(TokenSequence("fox", IDS)),
            client.models(),
            client.metrics_text(),
            client.tokenize("x"),
        ):
            with pytest.raises(RequestError) as caught:
                await request
            shown += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
        shown += [
            repr(client),
            repr({**vars(client), "server": None}),
            repr(client.endpoint),
            repr(vars(client._channel)),
        ]
        assert len(client.server.requests) == 6
        assert all(each.headers["authorization"] == f"Bearer {KEY}" for each in client.server.requests)
    text = "\n".join([*shown, caplog.text])
    assert "you sent Bearer ***" in text
    assert not [line for line in text.splitlines() if KEY[:6] in line]


async def test_a_key_in_the_address_of_a_redirect_is_not_repeated():
    async with asking({"GET /metrics": answer(b"", 302, Location=f"http://other/{KEY}")}, key=KEY) as client:
        message = await failure(client.metrics_text(), StatusError)
    assert "redirects to http://other/***" in message


async def test_two_clients_send_each_its_own_key():
    routes = {"GET /version": answer({"version": "1"})}
    async with (
        ScriptedServer(routes) as npu,
        ScriptedServer(routes) as gpu,
        client_of(npu.url, key="sk-npu") as one,
        client_of(gpu.url, role="gpu", key="sk-gpu") as two,
    ):
        await asyncio.gather(one.version(), two.version())
    assert [each.headers["authorization"] for each in npu.requests] == ["Bearer sk-npu"]
    assert [each.headers["authorization"] for each in gpu.requests] == ["Bearer sk-gpu"]


async def test_a_channel_closes_what_it_opened():
    channel = Channel(
        Endpoint.parse("http://127.0.0.1:1"),
        PATIENT,
        role="npu",
        url_option="--npu-url",
        ca_bundle=None,
        trust_env=False,
    )
    async with channel:
        pass
    assert channel._http.is_closed


async def test_the_first_token_is_timed_from_the_written_request_and_a_role_is_none():
    waited = asyncio.Event()
    role = events({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, done=False)
    arrived = []

    async def handler(request, writer):
        loop = asyncio.get_running_loop()
        arrived.append(loop.time())
        loop.call_later(SHORT, waited.set)
        await stream(role, waited, events(TOKEN, done=False), events(*END))(request, writer)
        arrived.append(loop.time())

    async with asking({CHAT: handler}) as client:
        generation, first_token_ms = await client.chat_timed(PROMPT, max_tokens=4)
        elapsed_ms = (asyncio.get_running_loop().time() - arrived[0]) * 1000
    assert generation.content == "x"
    assert SHORT * 1000 / 2 < first_token_ms <= elapsed_ms + 100


async def test_time_to_connect_is_no_part_of_the_first_token(monkeypatch):
    async with asking({CHAT: stream(events(TOKEN, *END))}) as client:
        pool = client._channel._http._transport._pool
        connect = pool._network_backend.connect_tcp

        connected = []

        async def slow(*args, **kwargs):
            await asyncio.sleep(SHORT)
            stream = await connect(*args, **kwargs)
            connected.append(time.perf_counter())
            return stream

        monkeypatch.setattr(pool._network_backend, "connect_tcp", slow)
        _, first_token_ms = await client.chat_timed(PROMPT, max_tokens=4)
        since_connected_ms = (time.perf_counter() - connected[0]) * 1000
    assert 0 < first_token_ms < since_connected_ms


async def test_without_a_token_there_is_no_first():
    ended = ({**END[0]}, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}})
    async with asking({CHAT: stream(events(*ended))}) as client:
        assert (await client.chat_timed(PROMPT, max_tokens=4))[1] is None
