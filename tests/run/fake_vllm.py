"""A thread that answers as vLLM does, in a few lines: sound, but for what a test makes of its chat stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Chunk = dict[str, Any]
Stream = Callable[[dict[str, Any], list[Chunk]], Sequence[Chunk | None] | tuple[int, str]]
"""From a request and the sound chunks to what is sent: None breaks off, (status, text) refuses."""

TEXT = 7
"""Stands for every token of text; a control token never does."""
END = 200002
GREETING = 12194
"""``Hi`` in GPT-OSS's vocabulary."""


@dataclass
class FakeVllm:
    """``url`` of a running server, what it was ``asked`` by POST, and what it does to chat streams."""

    stream: Stream | None = None
    get: dict[str, Any] = field(default_factory=dict)
    post: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    def chats(self) -> list[dict[str, Any]]:
        return [body for path, body in self.asked if path == "/v1/chat/completions"]


def prompt_ids(messages: Sequence[dict[str, str]]) -> list[int]:
    """Ids that differ with the text; of the greeting that tells GPT-OSS's vocabulary, its own."""
    texts = [[GREETING] if each["content"] == "Hi" else list(map(ord, each["content"])) for each in messages]
    return [200006, 1428, 200008, *(token for text in texts for token in text), 200007]


def _chunks(body: dict[str, Any]) -> list[Chunk]:
    chat = "messages" in body
    ids = prompt_ids(body["messages"]) if chat else body["prompt"]
    tokens = [ids[min(3, len(ids) - 1)], TEXT, END][: body["max_tokens"]]
    chunks: list[Chunk] = []
    for place, token in enumerate(tokens):
        choice: Chunk = {"index": 0, "token_ids": [token], "finish_reason": None}
        choice |= {"delta": {"content": chr(65 + token % 26)}} if chat else {"text": chr(65 + token % 26)}
        if not chat:
            choice["prompt_token_ids"] = ids if place == 0 else None
        if body.get("logprobs"):
            entry = {"token": f"token_id:{token}", "logprob": -0.1}
            choice["logprobs"] = (
                {"content": [{**entry, "top_logprobs": [entry]}]}
                if chat
                else {
                    "tokens": [entry["token"]],
                    "token_logprobs": [-0.1],
                    "top_logprobs": [{entry["token"]: -0.1}],
                }
            )
        chunks.append({"choices": [choice]})
    chunks[-1]["choices"][0]["finish_reason"] = "stop" if tokens[-1] == END else "length"
    role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "prompt_token_ids": ids}
    usage = {"prompt_tokens": len(ids), "completion_tokens": len(tokens)}
    return [*([role] if chat else []), *chunks, {"choices": [], "usage": usage}]


def _scores(body: dict[str, Any]) -> Chunk:
    ids = body["prompt"]
    others = {
        str(9 + place): {"logprob": -3.0 - place, "rank": 2 + place}
        for place in range(body["prompt_logprobs"] - 1)
    }
    table = [None, *({**others, str(each): {"logprob": -0.1, "rank": 1}} for each in ids[1:])]
    choice = {"index": 0, "text": "A", "finish_reason": "length", "prompt_logprobs": table,
              "prompt_token_ids": ids, "token_ids": [TEXT]}  # fmt: skip
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
    return {"choices": [choice], "usage": usage}


@contextmanager
def fake_vllm(stream: Stream | None = None, port: int = 0) -> Iterator[FakeVllm]:
    """Run one, by default at a free port.

    ``get`` and ``post`` of it map further paths to JSON, text, or (status, JSON or text); ``post`` also to
    what makes one of these from the request.
    """
    fake = FakeVllm(stream)
    fake.get["/v1/models"] = {"data": [{"id": "gpt-oss-20b", "max_model_len": 8192}]}
    fake.get["/version"] = {"version": "0.32.0"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(fake.get.get(self.path, (404, {"detail": "Not Found"})))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked.append((self.path, body))
            if self.path in fake.post:
                found = fake.post[self.path]
                self._send(found(body) if callable(found) else found)
            elif self.path == "/v1/completions" and not body.get("stream"):
                self._send(_scores(body))
            elif self.path in ("/v1/chat/completions", "/v1/completions"):
                self._stream(body)
            else:
                self._send((404, {"detail": "Not Found"}))

        def _stream(self, body: dict[str, Any]) -> None:
            sent: Any = _chunks(body)
            if fake.stream is not None and "messages" in body:
                sent = fake.stream(body, sent)
            if isinstance(sent, tuple):
                return self._send(sent)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for chunk in sent:
                if chunk is None:
                    break
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            else:
                self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True
            return None

        def _send(self, found: Any) -> None:
            status, said = found if isinstance(found, tuple) else (200, found)
            raw = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
