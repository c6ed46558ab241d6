"""A small server on loopback that speaks enough of vLLM's dialect to be accepted, and can be held up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GREETING = [200006, 1428, 200008, 12194, 200007]
"""``<|start|>user<|message|>Hi<|end|>``."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing: who was held up may be gone."""


class Hold:
    """Lets ``answers`` requests that are ``due`` be answered; the next ones hang until ``released``.

    ``reached`` is set by the first that hangs. With ``hold_s`` that first one alone is late by so much.
    """

    def __init__(self, due: Callable[[str, Any], bool], answers: int, *, hold_s: float | None = None) -> None:
        self._hold_s = hold_s
        self.reached, self.released = threading.Event(), threading.Event()
        self._due, self._left, self._lock = due, answers, threading.Lock()

    def wait(self, path: str, body: Any) -> None:
        if not self._due(path, body):
            return
        with self._lock:
            self._left -= 1
            goes_on = self._left >= 0
        if not goes_on:
            self.reached.set()
            self.released.wait(self._hold_s)
            if self._hold_s is not None:
                self.released.set()


def measured(path: str, body: Any) -> bool:
    """A chat request that measures: not the probe's single token, no warm-up."""
    return path == "/v1/chat/completions" and body["max_tokens"] > 1


@contextmanager
def small_server(hold: Hold | None = None, *, text: str = "It is seven.") -> Iterator[str]:
    """Yield the URL of a server whose chat answers with ``text``, one character a token.

    It counts a prompt's words as its tokens.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.path == "/v1/models"
            model = {"id": "gpt-oss-20b", "object": "model", "max_model_len": 8192}
            self._reply(200 if known else 404, {"data": [model]} if known else {"detail": "Not Found"})

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._reply(404, {"detail": "Not Found"})
                return
            if hold is not None:
                hold.wait(self.path, sent)
            said = (text * (1 + sent["max_tokens"] // len(text)))[: max(sent.get("min_tokens", 0), 1)]
            said = said if "min_tokens" in sent else text[: sent["max_tokens"]]
            deltas = [{"delta": {"content": each}, "token_ids": [ord(each)]} for each in said]
            if deltas:
                deltas[-1]["finish_reason"] = "length" if len(said) == sent["max_tokens"] else "stop"
            # A greeting's ids are GPT-OSS's own: they tell its tokenizer. Others are as many as it has words.
            words = [str(each["content"]).split() for each in sent["messages"]]
            ids = GREETING if words == [["Hi"]] else list(range(sum(map(len, words))))
            usage = {"prompt_tokens": len(ids), "completion_tokens": len(said)}
            events: list[Any] = [{"choices": [{"index": 0, **each}]} for each in deltas]
            events[0]["prompt_token_ids"] = ids
            events.append({"choices": [], "usage": usage})
            lines = [f"data: {json.dumps(each)}\n\n" for each in events] + ["data: [DONE]\n\n"]
            self._send(200, "text/event-stream", "".join(lines).encode())

        def _reply(self, status: int, document: Any) -> None:
            self._send(status, "application/json", json.dumps(document).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        if hold is not None:
            hold.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
