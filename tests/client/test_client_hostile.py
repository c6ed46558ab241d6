"""Servers that mean ill: endless answers, bombs, theft. Memory and time stay bounded, and the key here."""

import asyncio
import contextlib
import gzip
import json
import logging
import tracemalloc
import zlib

import pytest
from scripted_server import ScriptedServer, answer, events, stream
from test_client_http import CHAT, COMPLETIONS, END, HANGING, IDS, PATIENT, PROMPT, TOKEN, asking, failure

from pytest_gptoss.client.http import Timeouts
from pytest_gptoss.model.errors import (
    ConnectError,
    DialectError,
    RequestError,
    RequestTimeout,
    StatusError,
    StreamError,
)
from pytest_gptoss.model.inputs import TokenSequence

pytestmark = pytest.mark.asyncio

MIB = 2**20
HASTY = Timeouts(connect=20, first_token=0.5, between_tokens=0.5)
KEY = "sk-8f3bc2e1d4a5b6c7d8"


def endless(head, piece):
    """Sends ``head`` and then ``piece`` until the client hangs up."""

    async def handler(request, writer):
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return handler


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.fixture
def bounds(monkeypatch):
    """The client's bounds, an eighth of what they are, so that they are soon reached."""
    monkeypatch.setattr("pytest_gptoss.client.channel.MAX_ANSWER_BYTES", MIB)
    monkeypatch.setattr("pytest_gptoss.client.channel.MAX_STREAM_BYTES", 4 * MIB)
    monkeypatch.setattr("pytest_gptoss.client.sse.SseDecoder.__init__.__kwdefaults__", {"max_bytes": MIB})


@contextlib.contextmanager
def memory_within(limit):
    """Whether what runs below ever holds more than ``limit`` bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


# -- without end ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"X: " + b"y" * 1000 + b"\r\n", b"y" * 1000, b" folded\r\n" * 100],
    ids=["headers", "one header", "folds"],
)
async def test_headers_without_end_are_cut_off(line):
    routes = {name: endless(b"HTTP/1.1 200 OK\r\nX: y\r\n", line) for name in (CHAT, "GET /v1/models")}
    async with asking(routes) as client:
        with memory_within(8 * MIB):
            await failure(client.chat(PROMPT, max_tokens=1), ConnectError)
            await failure(client.models(), ConnectError)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]
)
async def test_announcements_without_end_are_given_up(head):
    async with asking({"GET /v1/models": endless(b"", head)}, timeouts=HASTY) as client:
        await failure(client.models(), RequestTimeout)


@pytest.mark.parametrize(
    ("piece", "kind", "said"),
    [
        (b": " + b"x" * 60_000 + b"\n\n", StreamError, "more than 4194304 bytes"),
        (b"x" * 60_000, StreamError, "an event of more than"),
        (b"data: " + b"x" * 60_000 + b"\n", StreamError, "an event of more than"),
        (b"data: {}\n\n" * 500, StreamError, "1017 events came for at most 4 tokens"),
        (events(TOKEN, done=False) * 50, DialectError, "max_tokens 4 allows"),
    ],
    ids=["comments", "a line", "an event", "empty events", "tokens"],
)
async def test_a_stream_without_end_is_cut_off(bounds, piece, kind, said):
    async with asking({CHAT: endless(STREAM_HEAD, piece)}) as client:
        with memory_within(12 * MIB):
            assert said in await failure(client.chat(PROMPT, max_tokens=4), kind)


async def test_a_stream_that_goes_on_after_its_end_costs_no_answer(bounds):
    whole = STREAM_HEAD + events(TOKEN, *END)
    async with asking({CHAT: endless(whole, events(TOKEN, done=False) * 50)}) as client:
        answered = await asyncio.wait_for(client.chat(PROMPT, max_tokens=4), HANGING)
    assert answered.content == "x"


async def test_an_answer_without_end_is_cut_off(bounds):
    async with asking({"GET /v1/models": endless(JSON_HEAD, b"[" * 60_000)}) as client:
        with memory_within(4 * MIB):
            message = await failure(client.models(), DialectError)
    assert "more than 1048576 bytes" in message


async def test_a_refusal_without_end_is_quoted_from_its_beginning():
    head = b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\n"
    async with asking({CHAT: endless(head, b"no! " * 1000)}) as client:
        with memory_within(8 * MIB):
            assert "(no! no! no!" in await failure(client.chat(PROMPT, max_tokens=1), StatusError)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_that_swells_when_unpacked_is_cut_off(coding):
    pack = gzip.compress if coding == "gzip" else zlib.compress
    packed = pack(b"[" * (128 * MIB), 1)
    bomb = {"content_type": "application/json", "Content-Encoding": coding}
    async with asking(
        {"GET /v1/models": answer(packed, **bomb), CHAT: answer(packed, 500, **bomb)}
    ) as client:
        with memory_within(32 * MIB):
            assert "more than 8388608 bytes" in await failure(client.models(), DialectError)
            await failure(client.chat(PROMPT, max_tokens=1), StatusError)


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", f"x {KEY}"])
async def test_other_codings_and_several_are_refused_before_anything_is_unpacked(coding):
    packed = gzip.compress(gzip.compress(b"[" * (64 * MIB), 1), 1)
    bomb = {"content_type": "application/json", "Content-Encoding": coding}
    routes = {
        "GET /v1/models": answer(packed, **bomb),
        CHAT: answer(packed, **{**bomb, "content_type": "text/event-stream"}),
        COMPLETIONS: answer(packed, 500, **bomb),
    }
    async with asking(routes, key=KEY) as client:
        with memory_within(8 * MIB):
            for request in (client.models(), client.chat(PROMPT, max_tokens=1)):
                message = await failure(request, DialectError)
                assert "comes packed as" in message
                assert "turn its compression off" in message
                assert KEY not in message
            await failure(client.complete(IDS, prompt_id="p", max_tokens=1), StatusError)


async def test_one_coding_is_taken_off_and_a_false_one_is_told():
    body = json.dumps({"data": [{"id": "m"}]}).encode()
    for coding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        async with asking({"GET /v1/models": answer(packed, **{"Content-Encoding": coding})}) as client:
            assert [model.id for model in await client.models()] == ["m"]
    twice = gzip.compress(body[:9]) + gzip.compress(body[9:]) + bytes(8)
    async with asking({"GET /v1/models": answer(twice, **{"Content-Encoding": "gzip"})}) as client:
        assert [model.id for model in await client.models()] == ["m"]
    async with asking({"GET /v1/models": answer(body, **{"Content-Encoding": "gzip"})}) as client:
        assert "the answer is not packed as gzip" in await failure(client.models(), DialectError)


async def test_hidden_states_that_are_no_numbers_are_refused_before_they_are_parsed():
    tokens = (5,) * 400
    body = b"[" + b"{}," * (6 * MIB // 3) + b"{}]"
    async with asking({"POST /pooling": answer(body, 200)}) as client:
        client._pooling_encoding = "float"
        with memory_within(32 * MIB):
            message = await failure(client.hidden(tokens, "fox"), DialectError)
    assert "2097154 lists and objects came for 400 tokens" in message


@pytest.mark.parametrize(("encoding", "most"), [("bytes", 64 * MIB), ("float", 32 * MIB)])
async def test_hidden_states_have_a_ceiling_whatever_the_tokens(encoding, most):
    async with asking({"POST /pooling": endless(JSON_HEAD, b"1," * 30_000)}) as client:
        client._pooling_encoding = encoding
        message = await failure(client.hidden((5,) * 10_000, "fox"), DialectError)
    assert f"more than {most} bytes" in message


# -- bodies that are no honest ones -------------------------------------------------------------


async def test_json_that_swells_when_parsed_stays_within_bounds(bounds):
    body = b"[" + b"{}," * (MIB // 3 - 1) + b"{}]"
    async with asking({"GET /v1/models": answer(body)}) as client:
        with memory_within(40 * MIB):
            assert "expected a JSON object with 'data'" in await failure(client.models(), DialectError)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"data": [{"id": "\xff\xfe\x1b[31m"}]}', "expected JSON"),
        (b'{"data": [{"id": "\\u001b[31m"}]}', "a model is called '\\x1b[31m'"),
        (b'{"data": [{"id": "a\\nb"}]}', "a model is called 'a\\nb'"),
        (b'{"data": [{"id": "' + b"x" * 5_000_000 + b'"}]}', "at most 256 printable characters"),
        (b'{"data": [{"id": ["m"]}]}', "a model is called ['m']"),
        (b'{"data": [{"id": "m", "max_model_len": -1}]}', "max_model_len is -1"),
        (b'{"data": [{"id": "m", "max_model_len": 1' + b"0" * 4000 + b"}]}", "more than 40 digits"),
        (b'{"data": [{"id": "m", "max_model_len": 1' + b"0" * 9000 + b"}]}", "expected JSON"),
        (b'{"data": {}}', "data is {}: expected a list of models"),
        (b'{"data": ' + b"[" * 50_000, "expected JSON"),
    ],
)  # fmt: skip
async def test_a_list_of_models_that_nobody_would_write_is_refused_in_words(body, said):
    async with asking({"GET /v1/models": answer(body)}) as client:
        assert said in await failure(client.models(), DialectError)


async def test_bytes_that_are_no_text_are_no_answer():
    async with asking({CHAT: stream(b"data: \xff\xfe\x00{\n\n")}) as client:
        await failure(client.chat(PROMPT, max_tokens=4), StreamError)
    raw = events(TOKEN, *END).replace(b'"x"', b'"\xf0\x9f"')
    async with asking({CHAT: stream(raw)}) as client:
        answered = await client.chat(PROMPT, max_tokens=4)
    answered.content.encode()


async def test_a_tls_server_that_says_nothing_is_given_up():
    async def silent(reader, writer):
        with contextlib.suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        from test_client_http import client_of

        async with client_of(url, timeouts=Timeouts(connect=0.3)) as client:
            assert "no connection within 0.3 s" in await failure(client.models(), RequestTimeout)


# -- the key ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_and_the_key_goes_nowhere_else(status):
    async with ScriptedServer({}) as thief:
        away = answer(b"", status, Location=f"{thief.url}/v1/models")
        routes = dict.fromkeys((CHAT, COMPLETIONS, "GET /v1/models", "POST /pooling", "GET /metrics"), away)
        async with asking(routes, key=KEY) as client:
            for request in (
                client.chat(PROMPT, max_tokens=1),
                client.score(TokenSequence("fox", IDS)),
                client.models(),
                client.hidden(IDS, "fox"),
                client.metrics_text(),
            ):
                assert "redirects are not followed" in await failure(request, StatusError)
        assert thief.requests == []


def speaking(*texts):
    """A chat answer that says these texts, one an event."""
    said = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    usage = {"prompt_tokens": 3, "completion_tokens": len(texts)}
    return stream(
        events(*said, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage})
    )


async def test_an_answer_that_repeats_the_key_is_refused_and_not_kept(caplog):
    caplog.set_level(logging.DEBUG)
    routes = {
        CHAT: speaking("you sent ", KEY[:7], KEY[7:]),
        "GET /v1/models": answer({"data": [{"id": KEY}]}),
        "GET /version": answer({"version": f"1 for {KEY}"}),
        COMPLETIONS: answer({}, content_type=f"text/{KEY}"),
    }
    async with asking(routes, key=KEY) as client:
        for request in (client.chat(PROMPT, max_tokens=4), client.models()):
            message = await failure(request, DialectError)
            assert "the answer repeats the key of GPTOSS_NPU_API_KEY" in message
            assert KEY not in message
        assert await client.version() == "1 for ***"
        message = await failure(client.complete(IDS, prompt_id="p", max_tokens=1), DialectError)
        assert "text/*** came" in message


async def test_a_whole_answer_that_repeats_the_key_is_refused():
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    call = {"function": {"name": "get", "arguments": KEY}}
    for message in ({"content": f"you sent {KEY}"}, {"reasoning": KEY}, {"tool_calls": [call]}):
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        async with asking({CHAT: answer(body)}, key=KEY) as client:
            said = await failure(client.chat_unary(PROMPT, max_tokens=4), DialectError)
        assert "the answer repeats the key of GPTOSS_NPU_API_KEY" in said


async def test_a_key_in_a_header_or_reason_phrase_is_logged_without_it(caplog):
    caplog.set_level(logging.DEBUG)

    async def echoing(request, writer):
        writer.write(f"HTTP/1.1 200 for {KEY}\r\nX-{KEY}: {KEY}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async def breaking(request, writer):
        writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode())
        await writer.drain()

    async with asking({"GET /metrics": echoing, "GET /v1/models": breaking}, key=KEY) as client:
        await client.metrics_text()
        await failure(client.models(), ConnectError)
    for said in ('"HTTP/1.1 200 for ***"', "(b'X-***', b'***')"):
        assert said in caplog.text
    assert KEY not in caplog.text
    logging.getLogger("httpx").warning("of another's: %s", KEY)
    assert f"of another's: {KEY}" in caplog.text


async def test_a_short_key_is_a_word_that_answers_may_hold():
    async with asking({CHAT: speaking("The list is EMPTY.")}, key="EMPTY") as client:
        assert (await client.chat(PROMPT, max_tokens=4)).content == "The list is EMPTY."


@pytest.mark.parametrize("fill", [b"", b"<p>" * 2000], ids=["short", "past what is read"])
async def test_a_web_page_that_repeats_the_key_is_quoted_without_it(fill):
    for length in range(1, len(KEY) + 1):
        start = b"<html>" + fill
        page = start + b" " * (8192 - len(start) - length) + KEY.encode() + b"</html>" * 20
        async with asking({"GET /v1/models": answer(page, 500, "text/html")}, key=KEY) as client:
            with pytest.raises(RequestError) as caught:
                await client.models()
        assert not any(KEY[: size + 4] in str(caught.value) for size in range(len(KEY) - 3)), length


async def test_json_with_an_escaped_key_is_quoted_without_it():
    escaped = "".join(f"\\u{ord(char):04x}" for char in KEY)
    body = f'{{"error": {{"message": "{escaped}"}}}}'
    async with asking({CHAT: answer(body, 400)}, key=KEY, timeouts=PATIENT) as client:
        assert "(***)" in await failure(client.chat(PROMPT, max_tokens=1), StatusError)
    assert json.loads(body)["error"]["message"] == KEY
