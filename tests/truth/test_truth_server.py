"""The ground-truth server checked with a bare socket: what it stamps is what it did."""

import itertools
import json
import socket
import time
import uuid
from urllib.parse import urlsplit

import httpx
import pytest

from pytest_gptoss.client.scoring import scored_sequence
from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.scenarios.truth import truth_server
from pytest_gptoss.truth.script import Script
from pytest_gptoss.truth.timeline import timeline

SCHEDULE = {"first_token_ms": 60, "interval_ms": 25}
TOKENS = 5
LAST_CHUNK = b"0\r\n\r\n"


def wire(name, **body):
    raw = json.dumps({"stream": True, "max_tokens": TOKENS, **body}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nX-Request-Id: {name}\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


def connect(truth):
    parts = urlsplit(truth.endpoint.root)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def receive(connection):
    """All reads of one answer, each with the moment it came."""
    reads = []
    while not b"".join(data for _, data in reads).endswith(LAST_CHUNK):
        data = connection.recv(2**16)
        reads.append((time.monotonic_ns(), data))
        assert data, "the connection ended early"
    return reads


@pytest.fixture(scope="module")
def answered(truth):
    """One answer as a bare socket saw it, and the server's own account."""
    name = uuid.uuid4().hex
    with connect(truth) as connection:
        request = wire(name, truth=SCHEDULE)
        before_ns = time.monotonic_ns()
        connection.sendall(request[:-3])
        assert name not in truth.stamps()
        almost_ns = time.monotonic_ns()
        connection.sendall(request[-3:])
        reads = receive(connection)
    return before_ns, almost_ns, reads, truth.stamps()[name]


def test_a_request_is_read_with_its_last_byte(answered):
    _, almost_ns, reads, true = answered
    assert almost_ns <= true.read_ns <= reads[0][0]


def test_nothing_is_written_before_its_time(answered):
    true = answered[-1]
    due = [SCHEDULE["first_token_ms"] + place * SCHEDULE["interval_ms"] for place in range(TOKENS)]
    early = [ms - (stamp - true.read_ns) / 1e6 for ms, stamp in zip(due, true.token_ns, strict=True)]
    # A millisecond is a tick of uvloop's timers.
    assert max(early) <= 1.0


def test_no_token_arrives_before_its_stamp(answered):
    _, _, reads, true = answered
    arrived = []
    seen = b""
    for stamp, data in reads:
        seen += data
        while seen.count(b'"token_ids":[1') > len(arrived):
            arrived.append(stamp)
    assert len(arrived) == TOKENS == sum(true.tokens)
    assert all(written <= came for written, came in zip(true.token_ns, arrived, strict=True))
    assert reads[-1][0] >= true.end_ns >= true.token_ns[-1]
    # Intervals of the two clocks agree to less than one step of the schedule, or they are not one clock.
    drift = [came - written for written, came in zip(true.token_ns, arrived, strict=True)]
    assert min(drift) < SCHEDULE["interval_ms"] * 1e6


def test_the_bytes_are_those_of_the_timeline(answered):
    sent = b"".join(write.data for write in timeline(Script().changed(SCHEDULE), TOKENS, chat=True))
    assert b"".join(data for _, data in answered[2]) == sent


def test_the_first_visible_text_is_stamped(truth):
    name = uuid.uuid4().hex
    with connect(truth) as connection:
        connection.sendall(wire(name, truth={**SCHEDULE, "text": "harmony"}))
        receive(connection)
    true = truth.stamps()[name]
    assert true.first_text_ns == true.token_ns[3]


def test_requests_on_one_connection_follow_each_other(truth):
    names = [uuid.uuid4().hex for _ in range(3)]
    with connect(truth) as connection:
        for name in names:
            connection.sendall(wire(name, truth={"first_token_ms": 1, "interval_ms": 0}))
            receive(connection)
    stamps = [truth.stamps()[name] for name in names]
    assert all(before.end_ns <= after.read_ns for before, after in itertools.pairwise(stamps))


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", b'{"truth": {"fault": "flood"}}', b'{"max_tokens": "x"}']
)
def test_what_it_does_not_understand_it_refuses(truth, body):
    with httpx.Client(base_url=truth.endpoint.root, trust_env=False) as client:
        answer = client.post("/v1/chat/completions", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
        assert client.get("/nothing").status_code == 404


def test_what_clients_ask_first(truth):
    with httpx.Client(base_url=truth.endpoint.root, trust_env=False) as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "truth"
        whole = client.post("/v1/chat/completions", json={"max_tokens": 3}).json()
    assert whole["usage"]["completion_tokens"] == 3


def test_any_token_is_scored_as_the_likeliest(truth):
    asked = {"prompt": [5, 6, 7], "prompt_logprobs": 2, "max_tokens": 1}
    with httpx.Client(base_url=truth.endpoint.root, trust_env=False) as client:
        answer = client.post("/v1/completions", json=asked).json()
        text = client.post("/v1/completions", json={**asked, "prompt": "five"}).json()
    assert scored_sequence(answer, TokenSequence("s", (5, 6, 7)), top=2).logprobs.tolist() == [-0.5, -0.5]
    assert "prompt_logprobs" not in text["choices"][0]


def test_stamps_can_be_forgotten():
    with truth_server("--first-token-ms=1", "--interval-ms=1") as server:
        with connect(server) as connection:
            connection.sendall(wire("once"))
            receive(connection)
        assert list(server.stamps()) == ["once"]
        server.forget()
        assert server.stamps() == {}
    assert server.process.process.returncode is not None


def test_a_server_that_cannot_start_says_so():
    with (
        pytest.raises(ReferenceServerError, match="the ground-truth server did not start"),
        truth_server("--no-such-option"),
    ):
        pass
