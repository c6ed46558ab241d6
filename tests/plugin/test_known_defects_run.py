"""A version that is known to be wrong turns one row red, and no other; what nobody tells is asked for."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]

MODELS = {"data": [{"id": "gpt-oss-20b", "max_model_len": 131072}]}
BF16_ON_CUDA = {
    "vllm_config": {
        "model_config": {"dtype": "torch.bfloat16", "quantization": None},
        "device_config": {"device_type": "cuda"},
    }
}


@contextlib.contextmanager
def telling(version, info=None):
    """A server that tells its models, its version and its configuration, and answers nothing else."""
    answers = {"/v1/models": MODELS, "/version": {"version": version}, "/server_info": info}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = answers.get(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)
            text = json.dumps(body or {"detail": "Not Found"}).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def on_a_device(pytester):
    """Run preflight rows under the profile of the device."""

    def run(*arguments, rows="ready or distinct or versions or known_defects"):
        return pytester.runpytest_subprocess(
            str(acceptance_tests()), "-p", "no:cacheprovider", "-k", f"preflight and ({rows})", *arguments
        )

    return run


def test_what_nobody_tells_is_asked_for_and_then_judged(on_a_device, verdicts, details):
    with telling("0.18.0") as npu, telling("0.22.1", BF16_ON_CUDA) as gpu:
        result = on_a_device(f"--npu-url={npu}", f"--gpu-url={gpu}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = verdicts()
    # The baseline is known to be wrong whatever the device is; its version and its checkpoint were told.
    assert found == {
        "preflight.ready": "PASS", "preflight.distinct": "PASS", "preflight.versions": "INVALID",
        "preflight.known_defects": "FAIL",
    }  # fmt: skip
    assert "--gptoss-info npu.vllm_ascend=VERSION" in details()["preflight.versions"]["reason"]
    assert "gpu: vllm 0.22.1 (/version)" in details()["preflight.known_defects"]["reason"]

    stated = ("--gptoss-info=npu.vllm_ascend=0.18.0rc1", "--gptoss-info=npu.cann=8.5.1")
    result = on_a_device("--gptoss-replay=gptoss-report", *stated)
    assert verdicts()["preflight.versions"] == "PASS"
    row = details()["preflight.known_defects"]
    assert (row["verdict"], row["value"]) == ("FAIL", 3)
    assert [each["device"] for each in row["details"]["defects"]] == ["npu", "npu", "gpu"]
    assert "Traceback" not in result.stdout.str()


def test_a_graph_mode_that_nobody_tells_is_asked_for(on_a_device, verdicts, details):
    sound = ("--gptoss-info=npu.vllm_ascend=0.19.1rc1", "--gptoss-info=npu.cann=8.5.1")
    with telling("0.19.1") as npu:
        result = on_a_device(f"--npu-url={npu}", *sound)
    assert verdicts()["preflight.known_defects"] == "INVALID"
    assert "--gptoss-info npu.cudagraph_mode=" in details()["preflight.known_defects"]["reason"]
    assert "Traceback" not in result.stdout.str()
