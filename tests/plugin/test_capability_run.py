"""Each feature on a server that has it and on one that has it not."""

import json
import re
import threading

import pytest
from altering_proxy import Refusal, altering_proxy

pytest_plugins = ["pytester"]

CHAT = "/v1/chat/completions"
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'


def _verdicts(rows):
    return {name.removeprefix("capability."): row["verdict"] for name, row in rows.items()}


def test_answers_that_are_altered_on_the_way_fail(accept, embedded_pair, details):
    def altered(path, body):
        if path != CHAT:
            return body
        for choice in body["choices"]:
            message = choice.get("message") or {}
            for call in message.get("tool_calls") or ():
                call["function"]["arguments"] = '{"town": 1}'
            if message.get("content"):
                message["content"] += "!"
            delta = choice.get("delta") or {}
            if "reasoning" in delta:
                delta["content"] = delta.pop("reasoning")
            if choice.get("finish_reason") == "stop" and "delta" in choice:
                choice["finish_reason"] = "length"
        return body

    with altering_proxy(embedded_pair["npu"], answer=altered) as url:
        result = accept(f"--npu-url={url}", "-m", "capability", "-k", "tools or streaming or reason")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    rows = details()
    assert _verdicts(rows) == {
        "tools_auto": "FAIL", "tools_required": "FAIL", "tools_named": "FAIL", "streaming": "FAIL",
        "finish_reasons": "FAIL", "reasoning": "INVALID",
    }  # fmt: skip
    assert "streamed: content is" in rows["capability.tools_auto"]["reason"]


def test_reasoning_inside_the_content_fails(accept, embedded_pair, details):
    def poured(path, body):
        for choice in body.get("choices", ()):
            delta = choice.get("delta") or {}
            if "reasoning" in delta:
                delta["content"] = delta.pop("reasoning")
        return body

    with altering_proxy(embedded_pair["npu"], answer=poured) as url:
        result = accept(f"--npu-url={url}", "-k", "capability.reasoning")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "--reasoning-parser openai_gptoss" in details()["capability.reasoning"]["reason"]
    result.stdout.fnmatch_lines(["diagnosis", "*no reasoning apart*"])


def test_a_server_without_parser_flags_is_told_them(accept, embedded_pair, details):
    def refuse(path, body):
        if body and body.get("tools"):
            raise Refusal(400, "application/json", json.dumps({"error": {"message": NO_PARSER}}))
        return body

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        result = accept(f"--npu-url={url}", "-k", "tools_auto")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    row = details()["capability.tools_auto"]
    assert row["verdict"] == "INVALID"
    assert "add --enable-auto-tool-choice --tool-call-parser openai" in row["reason"]


def test_a_server_that_mixes_requests_is_found_out(accept, embedded_pair, details):
    lock, last = threading.Lock(), [None]

    def neighbours(path, body):
        text = body["messages"][0]["content"] if body and body.get("messages") else ""
        if not isinstance(text, str) or not re.search(r"secret code is \d{4}", text):
            return body
        with lock:
            other, last[0] = last[0] or text, text
        return {**body, "messages": [{"role": "user", "content": other}]}

    with altering_proxy(embedded_pair["npu"], request=neighbours) as url:
        result = accept(f"--npu-url={url}", "-k", "no_mixing")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    row = details()["capability.no_mixing"]
    assert row["verdict"] == "FAIL"
    assert row["value"] >= 8


def test_a_server_that_keeps_aborted_requests(accept, reference_server, details):
    npu = reference_server(defect="keeps-aborted", dtype="bfloat16")
    result = accept(f"--npu-url={npu.url}", "-k", "abort_frees")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    row = details()["capability.abort_frees"]
    assert (row["verdict"], row["value"]) == ("FAIL", 1)
    assert "keep their slots" in row["reason"]


def test_without_metrics_an_abort_cannot_be_seen(accept, embedded_pair, details):
    def none(path, body):
        if path == "/metrics":
            raise Refusal(404, "application/json", '{"detail": "Not Found"}')
        return body

    with altering_proxy(embedded_pair["npu"], request=none) as url:
        result = accept(f"--npu-url={url}", "-k", "abort_frees", "-rs")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED  # nothing was judged
    assert details()["capability.abort_frees"]["verdict"] == "SKIPPED"


def test_a_server_that_dies_of_a_bad_request(accept, reference_server, details):
    npu = reference_server(dtype="bfloat16")

    def deadly(path, body):
        if body and body.get("temperature") == -1:
            npu.stop()
        return body

    with altering_proxy(npu.url, request=deadly) as url:
        result = accept(f"--npu-url={url}", "-k", "survival")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    row = details()["capability.survival"]
    assert (row["verdict"], row["value"]) == ("FAIL", 3)
    assert "negative-temperature" in row["reason"]


def test_what_cannot_be_known_is_invalid_and_can_be_stated(accept, reference_server, details, pytester):
    npu = reference_server(dtype="float32")  # without VLLM_SERVER_DEV_MODE: nobody tells
    rows = ("-k", "bf16 or mxfp4")
    unknown = accept(f"--npu-url={npu.url}", *rows)
    assert unknown.ret == pytest.ExitCode.TESTS_FAILED
    assert _verdicts(details()) == {"bf16": "INVALID", "mxfp4": "INVALID"}
    assert "--gptoss-info npu.dtype=bfloat16" in details()["capability.bf16"]["reason"]
    log = pytester.path / "npu.log"
    log.write_text(
        "Initializing a V1 LLM engine (v0.18.0) with config: dtype=torch.bfloat16, quantization=mxfp4\n"
    )
    logged = accept(f"--npu-url={npu.url}", "--gptoss-npu-log=npu.log", *rows)
    assert logged.ret == pytest.ExitCode.TESTS_FAILED
    assert _verdicts(details()) == {"bf16": "PASS", "mxfp4": "FAIL"}
    assert "npu.log:1" in details()["capability.mxfp4"]["reason"]
    stated = accept("--gptoss-replay=gptoss-report", "--gptoss-info=npu.dtype=float16", *rows)
    assert stated.ret == pytest.ExitCode.TESTS_FAILED
    assert _verdicts(details()) == {"bf16": "PASS", "mxfp4": "FAIL"}  # the log's own word counts
