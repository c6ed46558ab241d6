"""A server that never answered has said why in its log, before the run began."""

import socket

import pytest

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]

START = "INFO 11-22 10:00:01 [api_server.py:1] vLLM API server version 0.18.0\n"


def test_the_whole_last_start_is_searched(pytester, details, report):
    log = pytester.path / "npu.log"
    log.write_text(
        f"{START}RuntimeError: RopeOperation setup failed\n"  # of an earlier start
        f"{START}ValueError: mxfp4 quantization is currently not supported in npu.\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = pytester.runpytest_subprocess(
            str(acceptance_tests()), "-p", "no:cacheprovider", "-k", "preflight.ready or preflight.model",
            f"--npu-url=http://127.0.0.1:{taken.getsockname()[1]}", "--gptoss-ready-timeout=1",
            "--gptoss-npu-log=npu.log",
        )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert details()["preflight.ready"]["verdict"] == "INVALID"
    (found,) = report()["measurements"]["diagnosis"]
    assert (found["name"], found["line"]) == ("mxfp4", 4)
    assert found["explains"] == ["preflight.ready"]
    text = result.stdout.str()
    assert "npu.log:4: ValueError: mxfp4 quantization" in text
    assert "Serve a BF16 checkpoint" in text
    assert "RopeOperation" not in text
