"""What the probe was told stands in the rows that lack for it."""

import json

from fake_vllm import fake_vllm

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.run.engine import AcceptanceRun

NO_LOGPROBS = '{"error": {"message": "logprobs are switched off for tenant 7"}}'
ROUTER = '# HELP x y\nrouter_requests_total{backend="a"} 3.0\nrouter_latency_sum 1.5\n'


def test_rows_quote_the_probe(tmp_path):
    def without_logprobs(body, chunks):
        return (400, NO_LOGPROBS) if body.get("logprobs") else chunks

    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["Name a colour.", "Count to five."]), "utf-8")
    with fake_vllm() as gpu, fake_vllm(without_logprobs) as npu:
        npu.get["/metrics"] = ROUTER
        npu.post["/pooling"] = gpu.post["/pooling"] = (503, "no pool behind this gateway")
        settings = Settings(
            devices=(DeviceSettings("npu", "npu", npu.url), DeviceSettings("gpu", "gpu", gpu.url)),
            report=tmp_path / "report",
            prompts=prompts,
        )
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        run.begin()
        try:
            said = {
                row: run.verdict("npu", row)
                for row in (
                    "precision.decode_prefill", "precision.hidden_cosine", "capability.abort_frees",
                    "preflight.date",
                )
            }  # fmt: skip
        finally:
            run.close()
    status = {row: verdict.status for row, verdict in said.items()}
    assert status == {
        "precision.decode_prefill": "INVALID",
        "precision.hidden_cosine": "INVALID",
        "capability.abort_frees": "SKIPPED",
        "preflight.date": "SKIPPED",
    }
    reasons = {row: verdict.reason for row, verdict in said.items()}
    assert "logprobs are switched off for tenant 7" in reasons["precision.decode_prefill"]
    assert "--max-logprobs above 0" not in reasons["precision.decode_prefill"]
    assert "no pool behind this gateway" in reasons["precision.hidden_cosine"]
    assert (
        "holds no vllm: counters but router_requests_total, router_latency_sum"
        in (reasons["capability.abort_frees"])
    )
    assert "give the vLLM server's own address" in reasons["capability.abort_frees"]
    assert "/detokenize answered 404" in reasons["preflight.date"]
