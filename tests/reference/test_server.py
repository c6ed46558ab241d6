"""The running server: streams, clients that leave, failures inside a generation, defects of serving."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest
from live_server import BOUND_S, LiveServer
from recorded import events, load
from scripted_engine import Script, ScriptedEngine

from pytest_gptoss.reference.generation import TokenLogprobs
from pytest_gptoss.reference.tokens import decode

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]
ANSWER = load("chat_return_token_ids")["response"]["body"]["choices"][0]["token_ids"]


class Gate:
    """Lets tokens pass as a test allows it, from another thread."""

    def __init__(self):
        self._tokens = asyncio.Queue()
        self._loop = None
        self.waiting = threading.Semaphore(0)

    async def __call__(self):
        self._loop = asyncio.get_running_loop()
        self.waiting.release()
        await self._tokens.get()

    def open(self):
        assert self.waiting.acquire(timeout=BOUND_S)
        self._loop.call_soon_threadsafe(self._tokens.put_nowait, None)


def post(server, path, body, **options):
    return server.client.post(path, json=body, **options)


def streaming(server, path, body):
    return server.client.stream("POST", path, json={**body, "stream": True})


def leave(server, path, body, gate, waiting=1):
    """Send a request and close the connection while the engine is at its gate."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=BOUND_S) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        for _ in range(waiting):
            assert gate.waiting.acquire(timeout=BOUND_S)


def next_event(lines):
    return next(json.loads(line.removeprefix("data: ")) for line in lines if line)


def test_a_token_leaves_when_it_is_computed():
    gate = Gate()
    engine = ScriptedEngine([Script([976, 4853, 19705], gate=gate)])
    body = {"prompt": "x", "max_tokens": 3, "return_token_ids": True}
    with LiveServer(engine) as server, streaming(server, TEXT, body) as response:
        lines = response.iter_lines()
        for count, token_id in enumerate((976, 4853, 19705), start=1):
            gate.open()
            assert next_event(lines)["choices"][0]["token_ids"] == [token_id]
            assert engine.streams[0].sent == count


@pytest.mark.parametrize(
    ("path", "body"), [(TEXT, {"prompt": "x", "max_tokens": 5}), (CHAT, {"messages": HELLO})]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slot(path, body, stream):
    gate = Gate()
    engine = ScriptedEngine([Script(ANSWER, gate=gate), Script(ANSWER)])
    with LiveServer(engine) as server:
        leave(server, path, {**body, "stream": stream}, gate)
        assert engine.streams[0].cancelled.wait(BOUND_S)
        assert post(server, path, body).status_code == 200
        page = server.client.get("/metrics").text
    assert 'request_success_total{engine="0",finished_reason="abort",model_name="gpt-oss-20b"} 1.0' in page


def test_every_choice_is_cancelled_when_the_client_leaves():
    gate = Gate()
    engine = ScriptedEngine([Script(ANSWER, gate=gate)])
    with LiveServer(engine) as server:
        leave(server, TEXT, {"prompt": ["a", "b", "c"]}, gate, waiting=3)
        assert len(engine.streams) == 3
        assert all(stream.cancelled.wait(BOUND_S) for stream in engine.streams)


def test_two_streams_run_side_by_side():
    gates = [Gate(), Gate()]
    engine = ScriptedEngine([Script([976, 4853], gate=gate) for gate in gates])
    body = {"prompt": "x", "max_tokens": 2, "return_token_ids": True}
    with (
        LiveServer(engine) as server,
        streaming(server, TEXT, body) as one,
        streaming(server, TEXT, body) as two,
    ):
        lines = [one.iter_lines(), two.iter_lines()]
        for _ in range(2):
            for gate, each in zip(gates, lines, strict=True):
                gate.open()
                assert next_event(each)["choices"]


BROKEN = Script([976], error=RuntimeError("the engine broke"))
NOT_A_NUMBER = Script([976, 200002], logprobs=[TokenLogprobs(float("nan"), 1, ())] * 2)


@pytest.mark.parametrize(
    ("script", "message"), [(BROKEN, "the engine broke"), (NOT_A_NUMBER, "not JSON compliant")]
)
def test_a_failure_inside_a_generation_is_a_500(script, message):
    with LiveServer(ScriptedEngine([script])) as server:
        response = post(server, TEXT, {"prompt": "x", "max_tokens": 5, "logprobs": 0})
    assert response.status_code == 500
    error = response.json()["error"]
    assert message in error.pop("message")
    assert error == {"type": "InternalServerError", "param": None, "code": 500}


@pytest.mark.parametrize(
    ("script", "message"), [(BROKEN, "the engine broke"), (NOT_A_NUMBER, "not JSON compliant")]
)
@pytest.mark.parametrize("n", [1, 2])
def test_a_failure_inside_a_stream_is_an_event_before_the_end(script, message, n):
    with LiveServer(ScriptedEngine([script])) as server:
        body = {"prompt": "x", "max_tokens": 5, "logprobs": 0, "n": n, "stream": True}
        response = post(server, TEXT, body)
    assert response.status_code == 200
    *_, failure, end = events(response.text)
    assert end == "[DONE]"
    assert message in failure["error"]["message"]
    assert failure["error"]["code"] == 500


def test_minus_infinity_is_a_very_low_number():
    scores = TokenLogprobs(float("-inf"), 201088, ((13, float("-inf")),))
    with LiveServer(ScriptedEngine([Script([976], logprobs=[scores])])) as server:
        response = post(server, TEXT, {"prompt": "x", "max_tokens": 1, "logprobs": 1})
    logprobs = response.json()["choices"][0]["logprobs"]
    assert logprobs["token_logprobs"] == [-9999.0]
    assert logprobs["top_logprobs"] == [{"The": -9999.0, ".": -9999.0}]


def test_metrics_count_how_sequences_ended():
    scripts = [Script([976, 200002]), Script([976] * 9), BROKEN]
    with LiveServer(ScriptedEngine(scripts)) as server:
        for _ in scripts:
            post(server, TEXT, {"prompt": "x", "max_tokens": 4})
        response = server.client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    for reason in ("stop", "length", "error"):
        labels = f'engine="0",finished_reason="{reason}",model_name="gpt-oss-20b"'
        assert f"vllm:request_success_total{{{labels}}} 1.0" in response.text


def test_metrics_tell_the_start_of_the_process():
    with LiveServer(ScriptedEngine([])) as server:
        pages = [server.client.get("/metrics").text for _ in range(2)]
    starts = [line for page in pages for line in page.splitlines() if line.startswith("process_start")]
    assert len(starts) == 2
    assert len(set(starts)) == 1
    assert 0 < time.time() - float(starts[0].split()[1]) < 3600


@pytest.mark.parametrize(
    ("headers", "extra", "expected"),
    [
        ({"X-Request-Id": "mine"}, {"request_id": "other"}, "cmpl-mine"),
        ({}, {"request_id": "other"}, "cmpl-other"),
    ],
)
def test_the_client_names_its_request(headers, extra, expected):
    with LiveServer(ScriptedEngine([Script([200002])])) as server:
        response = post(server, TEXT, {"prompt": "x", **extra}, headers=headers)
    assert response.json()["id"] == expected


def test_the_engine_is_asked_for_what_the_client_wants():
    engine = ScriptedEngine([Script([200002])])
    body = {
        "prompt": [976],
        "max_tokens": 7,
        "min_tokens": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 11,
        "stop_token_ids": [13],
        "logprobs": 3,
        "prompt_logprobs": 2,
        "cache_salt": "pepper",
    }
    with LiveServer(engine) as server:
        post(server, TEXT, body)
        post(server, TEXT, {**body, "ignore_eos": True})
    first, second = (stream.request for stream in engine.streams)
    assert (first.max_tokens, first.min_tokens, first.temperature, first.top_p) == (7, 2, 0.5, 0.9)
    assert (first.seed, first.logprobs, first.prompt_logprobs, first.cache_salt) == (11, 3, 2, "pepper")
    assert first.stop_token_ids == {13, 200002, 199999, 200012}
    assert second.stop_token_ids == {13}


# -- defects of serving ---------------------------------------------------------------------------


def test_a_defect_is_named_by_the_version():
    with LiveServer(ScriptedEngine([]), defect="wrong-date") as server:
        spoilt = server.client.get("/version").json()
    with LiveServer(ScriptedEngine([])) as server:
        sound = server.client.get("/version").json()
    assert spoilt["defect"] == "wrong-date"
    assert "DEFECT wrong-date" in spoilt["version"]
    assert sound.keys() == {"version"}
    assert "DEFECT" not in sound["version"]


def _chat(defect, messages=HELLO, **extra):
    engine = ScriptedEngine([Script(ANSWER)])
    with LiveServer(engine, defect=defect, start_date="2026-03-01") as server:
        return post(server, CHAT, {"messages": messages, "return_token_ids": True, **extra}).json()


def test_wrong_date_is_the_day_before():
    assert "Current date: 2026-03-01" in decode(_chat(None)["prompt_token_ids"])
    assert "Current date: 2026-02-28" in decode(_chat("wrong-date")["prompt_token_ids"])


def test_harmony_leak_leaves_control_tokens_in_the_text():
    sound, leaking = (_chat(defect)["choices"][0]["message"] for defect in (None, "harmony-leak"))
    assert "<|" not in sound["content"] + sound["reasoning"]
    assert "<|" in leaking["content"]
    assert "<|" in leaking["reasoning"]
    assert leaking["content"].endswith(sound["content"])


def test_truncate_context_drops_the_middle_and_counts_what_is_left():
    long = [{"role": "user", "content": " ".join(map(str, range(1000)))}]
    sound, cut = (_chat(defect, long) for defect in (None, "truncate-context"))
    whole, short = sound["prompt_token_ids"], cut["prompt_token_ids"]
    assert cut["usage"]["prompt_tokens"] == len(short) == 512
    assert sound["usage"]["prompt_tokens"] == len(whole) > 512
    assert short == whole[:128] + whole[-384:]
    assert _chat("truncate-context")["prompt_token_ids"] == _chat(None)["prompt_token_ids"]
