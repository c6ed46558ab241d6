"""``pytest-gptoss capacity``: what it asks, finds, prints and writes."""

import http.server
import json
import threading

import pytest

from pytest_gptoss.cli.main import main
from pytest_gptoss.scenarios.truth import truth_server

QUICK = ("--prompt-len=8", "--max-tokens=1", "--probe-seconds=1", "--seed=1")


def capacity(server, *arguments):
    return main(["capacity", "--api-url", server.endpoint.root, *QUICK, *arguments])


def test_the_capacity_of_a_queue_is_found_and_written(tmp_path, capsys):
    """Short probes: how near it comes is shown by simulation (tests/scenarios/test_capacity_search.py)."""
    file = tmp_path / "capacity.json"
    with truth_server("--service-ms=20") as server:
        status = capacity(
            server,
            "--slo-ttft=500",
            "--first-rate=25",
            "--min-rate=5",
            "--max-rate=400",
            "--output",
            str(file),
        )
    told = capsys.readouterr()
    written = json.loads(file.read_text("utf-8"))
    rates = [each["rate"] for each in written["probes"]]
    assert rates[0] == 25
    assert len(set(rates)) > 2
    assert told.err.count("the service level") == len(rates)
    assert told.out.split()[0] == "requests/s"
    assert written["task"]["slo"] == {"ttft_ms": 500, "tpot_ms": None, "share": 0.95}
    # On a busy machine the client may be late, or no rate kept: then there is no figure.
    assert status == (1 if written["capacity"] is None else 0)
    if written["capacity"] is None:
        assert f"no capacity: {written['problem']}" in told.out
    else:
        # One slot serves 50 a second.
        assert 5 < written["capacity"] < 200
        assert f"capacity {written['capacity']:.4g} requests/s" in told.out


def test_a_server_that_keeps_all_gives_a_bound(capsys):
    with truth_server("--first-token-ms=1", "--interval-ms=1") as server:
        status = capacity(server, "--slo-ttft=5000", "--first-rate=8", "--max-rate=12", "--share=0.5")
    assert status == 1
    out = capsys.readouterr().out
    assert "no capacity: 12 requests/s still keep the service level" in out
    assert "allow a higher rate" in out


def test_a_server_that_is_too_slow_at_any_rate_gives_a_bound(capsys):
    with truth_server("--first-token-ms=50", "--interval-ms=1") as server:
        status = capacity(server, "--slo-ttft=10", "--first-rate=20", "--min-rate=10")
    assert status == 1
    assert "no capacity: even 10 requests/s do not keep the service level" in capsys.readouterr().out


class Refusing(http.server.BaseHTTPRequestHandler):
    """Lists a model and refuses all requests."""

    def do_GET(self):
        if self.path == "/v1/models":
            self.answer(
                200, {"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 4096}]}
            )
        else:
            self.answer(404, {"detail": "Not Found"})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(503, {"error": {"message": "no capacity left", "code": 503}})

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


def test_a_server_that_refuses_everything_has_no_capacity_and_says_why(capsys):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert main(["capacity", "--api-url", url, "--slo-ttft=10", *QUICK]) == 1
        server.shutdown()
    assert "no capacity left" in capsys.readouterr().err


def test_what_it_cannot_reach_is_told(capsys):
    assert main(["capacity", "--api-url", "http://127.0.0.1:9", "--slo-ttft=10"]) == 1
    assert "no server answers there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give --slo-ttft MS, --slo-tpot MS or both"),
        (["--slo-ttft=fast"], "--slo-ttft is 'fast': it takes a number above 0"),
        (["--slo-ttft=0"], "--slo-ttft is '0'"),
        (["--slo-tpot=50", "--share=1"], "try 0.99"),
        (["--slo-tpot=50", "--share=95"], "--share is '95': it takes a number above 0, at most 1"),
        (["--slo-tpot=50", "--max-rate=0"], "--max-rate is '0'"),
        (["--slo-tpot=50", "--max-rate=0.5"], "it lies between --min-rate, 0.01, and --max-rate, 0.5"),
        (["--slo-tpot=50", "--probe-seconds=-1"], "--probe-seconds is '-1'"),
        (["--slo-tpot=50", "--prompt-len=0"], "--prompt-len is '0'"),
        (["--slo-tpot=50", "--seed=x"], "--seed is 'x': it takes a whole number"),
        (["--slo-tpot=50", "--output=/nowhere/file.json"], "there is no directory /nowhere"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(capsys, arguments, why):
    assert main(["capacity", "--api-url", "http://127.0.0.1:9", *arguments]) == 4
    assert why in capsys.readouterr().err
