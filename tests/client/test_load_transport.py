"""The transport for load under httpx's interface: TLS, connections kept and replaced, keys kept in."""

import asyncio
import contextlib
import logging
import ssl
import subprocess
import time
import traceback

import httpx
import pytest
from scripted_server import ScriptedServer, answer, events, hang_up, silence, stream

from pytest_gptoss.client.connection import trusted_context
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, round_trip_ms, run_closed_loop
from pytest_gptoss.client.load.transport import EXCHANGE, StampingTransport
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.model.errors import ConnectError, RequestTimeout, TlsError, UsageError

pytestmark = pytest.mark.asyncio

CHAT = "POST /v1/chat/completions"
PATIENT = Timeouts(connect=20, first_token=20, between_tokens=20)
KEY = "sk-never-shown-7842"
ANSWER = events(
    {"choices": [{"delta": {"content": "é"}, "token_ids": [5]}]},
    {"choices": [{"delta": {}, "finish_reason": "stop", "token_ids": []}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
)


@contextlib.asynccontextmanager
async def listening(talk):
    """A server that talks as the test says, at the URL given."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def until(condition):
    """Let the loop turn until something has happened; nothing else announces it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def load(
    url, count=3, *, key=None, concurrency=1, timeouts=PATIENT, ca_bundle=None, trust_env=False, **body
):
    endpoint = Endpoint.parse(url, api_key=Secret(key) if key else None, model="m")
    sent = [
        LoadRequest(f"r{place}", "/v1/chat/completions", {"max_tokens": 4, **body}) for place in range(count)
    ]
    target = LoadTarget(endpoint, timeouts, ca_bundle, trust_env)
    run = await run_closed_loop(LoadJob(target, sent, concurrency), on_end=lambda timing: None)
    return run.requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_a_request_says_what_it_was_told_to_say():
    async with ScriptedServer({CHAT: stream(ANSWER)}) as server:
        timings = await load(server.url, key=KEY, count=1)
        request = server.requests[0]
    assert timings[0].error is None
    assert request.headers["x-request-id"] == "r0"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == server.url.removeprefix("http://")
    assert request.json() == {"model": "m", "max_tokens": 4}


async def test_one_connection_carries_request_after_request(monkeypatch):
    # A machine that stands still for seconds would make the connection too old to be used again.
    monkeypatch.setattr("pytest_gptoss.client.load.transport._KEEPALIVE_NS", 10**15)
    async with ScriptedServer({CHAT: stream(ANSWER)}) as server:
        assert [timing.error for timing in await load(server.url, count=5)] == [None] * 5
        assert len(server._connections) == 1


@pytest.mark.parametrize(
    "handler",
    [
        stream(ANSWER),
        stream(ANSWER, dribble=1),
        answer(ANSWER, content_type="text/event-stream; charset=utf-8"),
        answer(ANSWER, content_type="text/event-stream", Connection="close"),
        hang_up(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ANSWER),
        hang_up(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ANSWER),
    ],
    ids=["chunked", "byte by byte", "length", "length, then close", "until close", "HTTP 1.0"],
)
async def test_every_way_to_end_a_body(handler):
    async with ScriptedServer({CHAT: handler}) as server:
        timings = await load(server.url)
    assert [(timing.error, timing.tokens) for timing in timings] == [(None, (1,))] * 3


async def test_tls_with_the_users_own_authority(certificate, server_context):
    routes = {CHAT: stream(ANSWER), "GET /version": answer({"version": "1"})}
    async with ScriptedServer(routes, ssl=server_context) as server:
        timings = await load(server.url, ca_bundle=certificate[0], concurrency=2, text="x" * 300_000)
        assert len(server.requests[0].body) > 300_000
        trips = await round_trip_ms(LoadTarget(Endpoint(server.url), PATIENT, certificate[0]))
    assert [(timing.error, timing.tokens) for timing in timings] == [(None, (1,))] * 3
    assert all(timing.start_ns <= timing.sent_ns <= timing.token_ns[0] for timing in timings)
    assert min(trips) > 0


async def test_tls_as_the_environment_says_only_when_it_is_trusted(certificate, server_context, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    routes = {CHAT: stream(ANSWER), "GET /version": answer({"version": "1"})}
    async with ScriptedServer(routes, ssl=server_context) as server:
        assert (await load(server.url, count=1, trust_env=True))[0].error is None
        assert await round_trip_ms(LoadTarget(Endpoint(server.url), PATIENT, trust_env=True))
        with pytest.raises(TlsError):
            await load(server.url, count=1)


async def test_a_certificate_that_does_not_convince(server_context):
    async with ScriptedServer({}, ssl=server_context) as server:
        with pytest.raises(TlsError, match="--gptoss-ca-bundle") as caught:
            await load(server.url)
    assert len(str(caught.value).splitlines()) == 1


async def test_an_unreadable_bundle_is_a_usage_error(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(UsageError, match="holds no certificates"):
        await load("https://127.0.0.1:1", ca_bundle=tmp_path / "empty.pem")


async def test_nobody_listens(unused_tcp_port):
    with pytest.raises(ConnectError, match="no server answers there"):
        await load(f"http://127.0.0.1:{unused_tcp_port}")


async def test_a_plain_server_asked_for_tls():
    async def refuse(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(refuse) as url:
        with pytest.raises(TlsError, match="does the server speak https at all") as caught:
            await load(url.replace("http:", "https:"))
    assert len(str(caught.value).splitlines()) == 1


async def test_a_redirect_is_not_followed_and_the_key_stays():
    elsewhere = ScriptedServer({CHAT: stream(ANSWER)})
    async with elsewhere:
        home = {CHAT: answer(b"", 307, Location=f"{elsewhere.url}/v1/chat/completions")}
        async with ScriptedServer(home) as server:
            timings = await load(server.url, count=1, key=KEY)
    assert (timings[0].error.kind, elsewhere.requests) == ("status", [])
    assert "redirects are not followed" in timings[0].error.message


async def test_proxies_of_the_environment_are_ignored(monkeypatch, unused_tcp_port):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    async with ScriptedServer({CHAT: stream(ANSWER), "GET /version": answer({"version": "1"})}) as server:
        for trusted in (False, True):
            assert (await load(server.url, count=1, trust_env=trusted))[0].error is None
            assert await round_trip_ms(LoadTarget(Endpoint(server.url), PATIENT, trust_env=trusted))


async def test_a_key_is_in_no_message_no_log_and_no_traceback(caplog):
    caplog.set_level(logging.DEBUG)
    echo = answer({"error": {"message": f"bad key {KEY}"}}, 401)
    broken = stream(f'data: {{"error": "{KEY}"}}\n\n'.encode())
    for handler in (echo, broken, hang_up(f"nonsense {KEY}\r\n\r\n".encode()), hang_up()):
        async with ScriptedServer({CHAT: handler}) as server:
            timing = (await load(server.url, count=1, key=KEY))[0]
        assert timing.error is not None
        assert KEY not in repr(timing)
    assert KEY not in caplog.text
    async with (
        httpx.AsyncClient(transport=StampingTransport(), trust_env=False) as client,
        ScriptedServer({CHAT: hang_up()}) as server,
    ):
        try:
            await client.post(f"{server.url}/v1/chat/completions", headers={"Authorization": KEY})
        except httpx.TransportError as error:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in "".join(shown.format()).split("  File ") if "client/load" in frame]
    assert frames
    assert not any(KEY in frame for frame in frames)


async def test_httpx_itself_can_use_it():
    routes = {"GET /a": stream(b"one", b"two"), "POST /b": answer({"x": 1}), "HEAD /a": answer(b"")}
    async with ScriptedServer(routes) as server:
        transport = StampingTransport()
        async with httpx.AsyncClient(transport=transport, base_url=server.url, trust_env=False) as client:
            got = await client.get("/a")
            posted = await client.post("/b", json={"y": 2})
            generated = await client.post("/b", content=_pieces())
            missing = await client.get("/nothing")
            assert (await client.head("/a")).status_code == 200
    assert (got.status_code, got.text, got.http_version) == (200, "onetwo", "HTTP/1.1")
    assert posted.json() == {"x": 1}
    assert generated.is_success
    assert missing.status_code == 404
    assert [request.body for request in server.requests[1:3]] == [b'{"y":2}', b"in pieces"]
    exchange = got.extensions[EXCHANGE]
    assert exchange.start_ns <= exchange.sent_ns <= exchange.stamps[0] <= exchange.last_ns


async def _pieces():
    yield b"in "
    yield b"pieces"


async def test_a_header_cannot_break_a_request_apart():
    request = httpx.Request("GET", "http://127.0.0.1:1", headers={"x": "a\r\nb: c"})
    async with StampingTransport() as transport:
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)


async def test_the_last_byte_is_stamped_when_the_server_takes_it():
    """A request larger than the socket's buffers is written only as fast as the server reads."""
    go = asyncio.Event()

    async def slow(reader, writer):
        await reader.read(1)
        await go.wait()
        tail = b""
        while not tail.endswith(b"THE END"):
            tail = tail[-10:] + await reader.read(2**16)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    body = b"x" * 30_000_000 + b"THE END"
    async with listening(slow) as url, StampingTransport() as transport:
        request = httpx.Request("POST", url, content=body)
        asked = asyncio.ensure_future(transport.handle_async_request(request))
        await until(lambda: EXCHANGE in request.extensions)
        for _ in range(100):
            await asyncio.sleep(0)
        assert request.extensions[EXCHANGE].sent_ns is None
        released_ns = time.monotonic_ns()
        go.set()
        await asked
    assert request.extensions[EXCHANGE].sent_ns > released_ns


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced():
    async with ScriptedServer({"GET /a": answer(b"x")}) as server, StampingTransport() as transport:
        url = httpx.URL(server.url)
        await transport.open(url, 1)
        for task in tuple(server._connections):
            task.cancel()
        await asyncio.gather(*server._connections, return_exceptions=True)
        await until(lambda: not any(connection.usable for connection in transport._all))
        response = await transport.handle_async_request(httpx.Request("GET", f"{server.url}/a"))
        assert (response.status_code, await response.aread()) == (200, b"x")


async def test_an_answer_nobody_asked_for_ends_the_connection():
    async def talk(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
        await writer.drain()
        await reader.read()
        writer.close()

    async with listening(talk) as url, StampingTransport() as transport:
        await transport.open(httpx.URL(url), 1)
        connection = next(iter(transport._all))
        await until(lambda: not connection.usable)


async def test_cancelling_gives_up_at_once_and_leaves_nothing():
    arrived = asyncio.Event()
    async with ScriptedServer({CHAT: silence(arrived)}) as server:
        asked = asyncio.ensure_future(load(server.url, count=4, concurrency=2))
        await arrived.wait()
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


async def test_an_unanswered_round_trip_is_bounded():
    hasty = Timeouts(connect=20, between_tokens=0.1)
    async with ScriptedServer({"GET /version": silence()}) as server:
        with pytest.raises(RequestTimeout, match="--gptoss-timeout"):
            await round_trip_ms(LoadTarget(Endpoint(server.url), hasty))


async def test_no_certificates_are_loaded_where_no_tls_is_spoken():
    assert trusted_context(Endpoint("http://a:1"), None) is None
