"""Whatever is wrong with a server ends in the right colour, with one line a tired person understands."""

import json
import socket
import threading

import pytest
from altering_proxy import Refusal, altering_proxy

pytest_plugins = ["pytester"]

CHAT = "/v1/chat/completions"
SOON = "--gptoss-ready-timeout=1"


@pytest.fixture
def gpu(embedded_pair):
    return f"--gpu-url={embedded_pair['gpu']}"


def _nobody():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def _all_invalid(result, verdicts, *words):
    assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stdout.str()
    assert set(verdicts().values()) <= {"INVALID", "SKIPPED"}
    assert "Traceback" not in result.stdout.str()
    errors = [line for line in result.outlines if line.startswith("ERROR ")]
    assert errors
    text = result.stdout.str()
    for word in words:
        assert word in text, text


def test_a_dead_server(accept, gpu, verdicts, report):
    url = _nobody()
    result = accept(f"--npu-url={url}", gpu, "-k", "rouge or identical", SOON)
    _all_invalid(result, verdicts, url, "--npu-url")
    problem = report()["devices"][0]["problem"]
    assert problem.startswith("GET http"), problem  # the name stands beside it


def test_a_dead_baseline_leaves_what_needs_no_baseline(accept, embedded_pair, verdicts):
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={_nobody()}", "-k", "leakage or match or identical",
        SOON,
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts() == {
        "inputs.identical": "INVALID", "precision.token_match_rate": "INVALID", "precision.leakage": "PASS",
    }  # fmt: skip


def test_no_baseline_at_all(accept, embedded_pair, verdicts):
    result = accept(f"--npu-url={embedded_pair['npu']}", "-k", "rouge")
    _all_invalid(result, verdicts, "add --gpu-url URL")


def test_a_wrong_model_name(accept, embedded_pair, gpu, verdicts):
    result = accept(f"--npu-url={embedded_pair['npu']}", gpu, "--gptoss-npu-model=nope", "-k", "identical")
    _all_invalid(result, verdicts, "'nope' is not served", "gpt-oss-20b", "--gptoss-npu-model")


def test_a_key_is_asked_for_by_name_and_never_shown(
    accept, gpu, verdicts, reference_server, monkeypatch, pytester
):
    key = "sk-very-secret-1234567890"
    npu = reference_server(environment={"VLLM_API_KEY": key})
    result = accept(f"--npu-url={npu.url}", gpu, "-k", "identical")
    _all_invalid(result, verdicts, "401", "GPTOSS_NPU_API_KEY")
    monkeypatch.setenv("GPTOSS_NPU_API_KEY", key)
    result = accept(
        f"--npu-url={npu.url}", gpu, "-k", "identical", "--junitxml=out.xml", "--json-report", "-vv"
    )
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert key not in result.stdout.str() + result.stderr.str()
    for path in pytester.path.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


def test_a_proxys_html_page(accept, embedded_pair, gpu, verdicts):
    def refuse(path, body):
        raise Refusal(404, "text/html", "<html><h1>Not Found</h1>nginx</html>")

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        result = accept(f"--npu-url={url}", gpu, "-k", "identical")
    _all_invalid(result, verdicts, "404")


def test_tls_where_there_is_none(accept, embedded_pair, gpu, verdicts):
    url = embedded_pair["npu"].replace("http://", "https://")
    result = accept(f"--npu-url={url}", gpu, "-k", "identical")
    _all_invalid(result, verdicts, "TLS")


def test_a_server_that_dies_keeps_what_was_measured(accept, gpu, report, verdicts, reference_server):
    npu = reference_server()
    lock, count = threading.Lock(), [0]

    def kill_at_the_fourth(path, body):
        if path == CHAT and body["max_tokens"] > 1:
            with lock:
                count[0] += 1
                if count[0] == 4:
                    npu.stop()
        return body

    with altering_proxy(npu.url, request=kill_at_the_fourth) as url:
        result = accept(f"--npu-url={url}", gpu, "-k", "perplexity_diff or identical or rouge")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert set(verdicts().values()) == {"INVALID"}
    scenarios = {each["id"]: each for each in report()["measurements"]["scenarios"]}
    greedy = scenarios["greedy-npu-precision-c1-r0"]
    assert greedy["items"] == 3
    assert not greedy["complete"]
    assert scenarios["greedy-gpu-precision-c1-r0"]["items"] == 6
    result.stdout.fnmatch_lines(["*INVALID inputs.identical: npu:*failed*"])


def test_a_server_without_return_token_ids(accept, embedded_pair, gpu, verdicts):
    def drop(path, body):
        return {key: value for key, value in (body or {}).items() if key != "return_token_ids"}

    with altering_proxy(embedded_pair["npu"], request=drop) as url:
        result = accept(f"--npu-url={url}", gpu, "-k", "rouge or identical")
    _all_invalid(result, verdicts, "prompt_token_ids", "return_token_ids")


def test_prompts_longer_than_the_context(accept, gpu, verdicts, reference_server):
    npu = reference_server("--max-model-len", "160")
    result = accept(f"--npu-url={npu.url}", gpu, "-k", "identical")
    _all_invalid(result, verdicts, "160", "--max-model-len")


def test_all_answers_equal_prove_nothing(accept, embedded_pair, verdicts):
    def one_question(path, body):
        if path == CHAT:
            return {**body, "messages": [{"role": "user", "content": "Hello!"}]}
        return body

    with (
        altering_proxy(embedded_pair["npu"], request=one_question) as npu,
        altering_proxy(embedded_pair["gpu"], request=one_question) as gpu,
    ):
        result = accept(f"--npu-url={npu}", f"--gpu-url={gpu}", "-k", "match or rouge")
    _all_invalid(result, verdicts, "answers are the same")


def test_empty_answers_prove_nothing(accept, embedded_pair, verdicts):
    def at_once(path, body):
        # The model may only end: <|return|> is made certain by asking for one token that is a stop token.
        return {**body, "max_tokens": 1} if path == CHAT else body

    def emptied(path, event):
        for choice in event.get("choices", ()):
            choice.get("delta", {}).pop("reasoning", None)
            choice.get("delta", {}).pop("content", None)
        return event

    with (
        altering_proxy(embedded_pair["npu"], request=at_once, answer=emptied) as npu,
        altering_proxy(embedded_pair["gpu"], request=at_once, answer=emptied) as gpu,
    ):
        result = accept(f"--npu-url={npu}", f"--gpu-url={gpu}", "-k", "rouge")
    _all_invalid(result, verdicts, "every one of 6 answers is empty")


def test_two_generations_render_a_system_message_differently(accept, embedded_pair, gpu, verdicts, pytester):
    developer, system = 77944, 17360

    def older(path, event):
        if event.get("prompt_token_ids"):
            ids = [system if token == developer else token for token in event["prompt_token_ids"]]
            return {**event, "prompt_token_ids": ids}
        return event

    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]
    prompts = pytester.path / "system.json"
    prompts.write_text(json.dumps(["Hi", {"id": "with-system", "messages": messages}]))
    with altering_proxy(embedded_pair["npu"], answer=older) as npu:
        result = accept(f"--npu-url={npu}", gpu, "-k", "identical or rouge", prompts=prompts)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts() == {"inputs.identical": "FAIL", "precision.rouge_l": "INVALID"}
    result.stdout.fnmatch_lines(["*with-system*--gptoss-inputs token-ids*"])
