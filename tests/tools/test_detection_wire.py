"""Faults of the wire do what they are called after, and the proxy does nothing else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from detection import wire
from detection.proxy import Exchange, pass_on, proxy
from detection.row import NotMeasured
from detection.wire import FAULTS

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.judge.metrics.leakage import leakage
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import Message, Prompt
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.scenarios.identity import starts_of

RECORDED = Path(__file__).parents[1] / "wire" / "0.32.0"
STREAM = (RECORDED / "chat_stream_logprobs_token_ids.sse").read_bytes()
CHAT = "/v1/chat/completions"
TOKENS = 33


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers every chat with the recorded stream, and anything else with what was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("application/json", json.dumps({"path": self.path}).encode())

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            streamed = self.path == CHAT
            self._answer(
                "text/event-stream" if streamed else "application/json", STREAM if streamed else sent
            )

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("X-Asked", self.headers.get("Authorization", "nobody"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    thread.join()
    running.server_close()


def answers(url: str, count: int) -> list[Generation | RequestError]:
    """So many answers, one after the other; a failed request's error in its place."""

    async def ask() -> list[Generation | RequestError]:
        found: list[Generation | RequestError] = []
        async with VllmClient(Endpoint.parse(url), role="npu") as client:
            for number in range(count):
                try:
                    prompt = Prompt("p", (Message("user", f"question {number}"),))
                    found.append(await client.chat(prompt, max_tokens=64, top_logprobs=1))
                except RequestError as error:
                    found.append(error)
        return found

    return asyncio.run(ask())


def test_a_proxy_without_a_fault_changes_nothing(server: str) -> None:
    with proxy(server, pass_on) as url, httpx.Client(base_url=url, trust_env=False) as client:
        streamed = client.post(CHAT, json={"stream": True, "max_tokens": 9})
        assert streamed.content == STREAM
        asked = client.get("/v1/models?x=1", headers={"Authorization": "Bearer k"})
        assert asked.json() == {"path": "/v1/models?x=1"}
        assert asked.headers["x-asked"] == "Bearer k"
        assert client.post("/tokenize", json={"prompt": "é"}).json() == {"prompt": "é"}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS.values() if fault.sound], ids=lambda f: f.name)
def test_what_is_odd_but_sound_gives_the_same_answers(fault: wire.Fault, server: str) -> None:
    with proxy(server, fault.handler()) as url:
        odd = answers(url, 3)
    (plain,) = answers(server, 1)
    assert isinstance(plain, Generation)
    for answer in odd:
        assert isinstance(answer, Generation), answer
        assert (answer.token_ids, answer.text) == (plain.token_ids, plain.text)
        assert answer.logprobs is not None
        assert plain.logprobs is not None
        assert answer.logprobs.tolist() == plain.logprobs.tolist()


def test_another_vocabulary_and_two_replicas_change_one_answer_each(server: str) -> None:
    with proxy(server, wire.other_vocabulary()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.post("/tokenize", json={"prompt": "x"}).json()["tokens"][0] == 128006
        assert client.get("/v1/models").json() == {"path": "/v1/models"}
    with proxy(server, wire.replicas()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        starts = [starts_of(client.get("/metrics").text) for _ in range(3)]
        assert starts[0] == starts[2] != starts[1]
        assert client.get("/v1/models").json() == {"path": "/v1/models"}


REFUSED = [fault for fault in FAULTS.values() if fault.said and fault.every > 1]


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.name)
def test_a_fault_strikes_one_answer_in_ten_and_is_told(fault: wire.Fault, server: str) -> None:
    with proxy(server, fault.handler()) as url:
        found = answers(url, 12)
    struck = [place for place, answer in enumerate(found) if isinstance(answer, RequestError)]
    assert struck == [1, 11]
    assert all(fault.said in str(found[place]) for place in struck), found[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong-usage", f"{TOKENS} token ids came, but usage counts {TOKENS + 1}"),
        ("duplicated-chunk", f"{TOKENS + 1} token ids came, but usage counts {TOKENS}"),
        ("swallowed-chunk", f"{TOKENS - 1} token ids came, but usage counts {TOKENS}"),
    ],
)
def test_counts_are_off_by_one(name: str, said: str, server: str) -> None:
    with proxy(server, FAULTS[name].handler()) as url:
        assert said in str(answers(url, 2)[1])


def test_what_the_server_itself_breaks_off_is_passed_on(server: str) -> None:
    with proxy(server, FAULTS["connection-reset"].handler()) as breaking, proxy(breaking) as url:
        found = answers(url, 2)
    assert isinstance(found[0], Generation)
    assert "closed in mid-stream" in str(found[1])


def test_a_handler_that_fails_is_no_fault_that_was_caught(server: str) -> None:
    async def broken(exchange: Exchange) -> None:
        raise KeyError("a bug of the proxy's")

    def ask() -> None:
        with proxy(server, broken) as url:
            (answer,) = answers(url, 1)
            assert isinstance(answer, RequestError)

    with pytest.raises(NotMeasured, match="the proxy's handler failed: KeyError"):
        ask()


def test_bursts_come_and_go(server: str) -> None:
    with proxy(server, FAULTS["status-500-bursts"].handler()) as url:
        found = answers(url, 20)
    struck = [place for place, answer in enumerate(found) if isinstance(answer, RequestError)]
    assert struck == [0, 1, 2, 3, 16, 17, 18, 19]
    assert FAULTS["status-500-bursts"].said in str(found[0])


def test_another_token_and_shifted_logprobs_are_whole_answers(server: str) -> None:
    (plain,) = answers(server, 1)
    with proxy(server, FAULTS["other-token"].handler()) as url:
        other = answers(url, 2)
    with proxy(server, FAULTS["shifted-logprobs"].handler()) as url:
        (shifted,) = answers(url, 1)
    assert isinstance(plain, Generation)
    assert isinstance(other[1], Generation)
    assert isinstance(shifted, Generation)
    assert plain.token_ids is not None
    assert other[1].token_ids is not None
    differing = [a != b for a, b in zip(plain.token_ids, other[1].token_ids, strict=True)]
    assert sum(differing) == 1
    assert other[1].text == plain.text
    assert shifted.token_ids == plain.token_ids
    assert shifted.logprobs is not None
    assert plain.logprobs is not None
    assert shifted.logprobs.tolist()[1:] == plain.logprobs.tolist()[:-1]


def test_numbers_that_stand_for_no_log_probability_come_in_answers(server: str) -> None:
    with proxy(server, FAULTS["zero-logprobs"].handler()) as url:
        (zero,) = answers(url, 1)
    (plain,) = answers(server, 1)
    assert isinstance(zero, Generation)
    assert isinstance(plain, Generation)
    assert (zero.token_ids, zero.text) == (plain.token_ids, plain.text)
    assert zero.logprobs is not None
    assert zero.top is not None
    assert not zero.logprobs.any()
    assert (zero.top.ids == -1).all()


@pytest.mark.parametrize(
    ("name", "value", "entries"), [("sentinel-logprobs", -9999.0, 6), ("zero-logprobs", 0.0, 1)]
)
def test_numbers_that_stand_for_no_log_probability_come_in_scores(
    name: str, value: float, entries: int, server: str
) -> None:
    recorded = json.loads((RECORDED / "completion_prompt_logprobs.json").read_text("utf-8"))
    asked, choices = recorded["request"]["body"], recorded["response"]["body"]["choices"]
    with proxy(server, FAULTS[name].handler()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        # The server gives back what it was sent.
        found = [client.post("/v1/completions", json={**asked, "choices": choices}).json() for _ in range(2)]
        probe = client.post(
            "/v1/completions", json={**asked, "prompt_logprobs": 1, "choices": choices}
        ).json()
    first, *rows = found[1]["choices"][0]["prompt_logprobs"]
    assert first is None
    assert [len(row) for row in rows] == [entries] * 3
    assert all(str(token) in row for token, row in zip(asked["prompt"][1:], rows, strict=True))
    assert {entry["logprob"] for row in rows for entry in row.values()} == {value}
    assert probe["choices"] == choices


def test_a_cache_of_like_questions_answers_another_one(server: str) -> None:
    asked = []

    async def noting(exchange: object) -> None:
        asked.append(exchange)
        await pass_on(exchange)  # type: ignore[arg-type]

    with proxy(server, noting) as counted, proxy(counted, FAULTS["similar-cache"].handler()) as url:
        assert len(answers(url, 3)) == 3
    assert len(asked) == 1
    with proxy(server, noting) as counted, proxy(counted, FAULTS["same-cache"].handler()) as url:
        answers(url, 3)
    assert len(asked) == 4


def test_channel_words_stand_in_one_answer_in_ten_and_leak(server: str) -> None:
    with proxy(server, FAULTS["channel-words"].handler()) as url:
        found = [each for each in answers(url, 12) if isinstance(each, Generation)]
    leaking = [
        place for place, each in enumerate(found) if leakage(npu=Measurement("s", "npu", (each,))).value
    ]
    assert (len(found), leaking) == (12, [1, 11])
    assert found[0].token_ids == found[1].token_ids
