"""What a probe says of a server's answer: a line, whatever comes, and never the key."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pytest_gptoss.isolate.probe import Probe, asked

KEY = "sk-of-the-lab-0123456789"


@contextlib.contextmanager
def answering(status, models):
    """A server that answers every request alike, and tells the headers that it got."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = models.replace("KEY", str(self.headers.get("Authorization"))).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "models", ["{}", "[]", '{"data": []}', '{"data": [1]}', '{"data": "x"}', "null", "no"]
)
def test_a_server_that_lists_no_model_is_a_failure_and_no_traceback(models):
    with answering(200, models) as root:
        assert asked(Probe("any"), root).startswith("/v1/chat/completions: ")


def test_a_refused_key_is_told_without_the_key(monkeypatch):
    monkeypatch.setenv("GPTOSS_NPU_API_KEY", KEY)
    with answering(401, "unauthorized: KEY") as root:
        assert asked(Probe("any"), root) == "/v1/models answered 401: unauthorized: Bearer ***"


def test_a_key_is_sent_where_there_is_one(monkeypatch):
    listed = json.dumps({"data": [{"id": "tiny"}], "header": "KEY"})
    with answering(200, listed) as root:
        assert asked(Probe("any", answer="None"), root) == ""
        monkeypatch.setenv("GPTOSS_NPU_API_KEY", KEY)
        assert asked(Probe("any", answer="Bearer"), root) == ""
