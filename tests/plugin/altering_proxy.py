"""A loopback proxy that alters what passes: how a sound server is made a troubled one."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Change = Callable[[str, Any], Any]


def unchanged(path: str, body: Any) -> Any:
    return body


class Refusal(Exception):
    """Raised by a change: answer this instead of asking the server."""

    def __init__(self, status: int, content_type: str, body: str) -> None:
        super().__init__(status)
        self.status, self.content_type, self.body = status, content_type, body.encode()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    """Connections that may wait to be accepted: requests come in bursts, and a busy machine accepts late."""


@contextmanager
def altering_proxy(
    upstream: str,
    *,
    request: Change = unchanged,
    answer: Change = unchanged,
    clock_ahead_s: float = 0.0,
    said: str | None = None,
) -> Iterator[str]:
    """Yield a URL in front of ``upstream``. ``request`` changes JSON bodies sent, ``answer`` each JSON that
    comes back, whole or as one event of a stream. Its Date headers are ``clock_ahead_s`` ahead of time;
    ``said`` stands in a header and the reason phrase of every answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass(None)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                body = json.loads(sent)
            except ValueError:
                refusal = b'{"error": {"message": "JSON decode error"}}'
                self._reply(400, {"content-type": "application/json"}, refusal)
            else:
                self._pass(body)

        def _pass(self, body: Any) -> None:
            try:
                sent = request(self.path, body)
                data = None if body is None else json.dumps(sent).encode()
                asked = urllib.request.Request(
                    upstream + self.path, data, {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(asked, timeout=60) as response:
                    self._reply(response.status, dict(response.headers), response.read())
            except urllib.error.HTTPError as error:
                self._reply(error.code, dict(error.headers), error.read())
            except Refusal as refusal:
                self._reply(refusal.status, {"content-type": refusal.content_type}, refusal.body)
            except (urllib.error.URLError, ConnectionError):
                self.close_connection = True

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
            if kind.startswith("application/json"):
                body = json.dumps(answer(self.path, json.loads(body))).encode()
            elif kind.startswith("text/event-stream"):
                body = b"".join(self._event(event) for event in body.split(b"\n\n") if event)
            self.send_response(status, said)
            self.send_header("X-Said", said or "nothing")
            for name, value in headers.items():
                if name.lower() in ("content-type", "metadata"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _event(self, event: bytes) -> bytes:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                return event + b"\n\n"
            changed = answer(self.path, json.loads(data))
            return b"" if changed is None else b"data: " + json.dumps(changed).encode() + b"\n\n"

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + clock_ahead_s, usegmt=True)

        def log_message(self, *_: Any) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
