"""A load beyond a small KV cache on a real server: confirmed, caught, skipped, refused."""

from __future__ import annotations

import pytest
from altering_proxy import Refusal, altering_proxy

from pytest_gptoss.scenarios import preemption
from pytest_gptoss.scenarios.kinds import Preemption

ROW = "stress.preemption"


@pytest.fixture
def judged(under_load, few_prompts):
    """The verdict on a server's answers beyond its KV cache, and what was measured."""

    def judge(url):
        run = under_load(prompts=few_prompts, npu=url)
        verdict, measured = run.verdict("npu", ROW), run.store.load(Preemption("npu").id)
        run.close()
        return verdict, measured

    return judge


def test_a_sound_server_confirms_what_it_computed_again(judged, reference_server):
    verdict, measured = judged(reference_server("--kv-cache-tokens", "4096", dtype="bfloat16").url)
    assert (verdict.status, verdict.value, verdict.n) == ("PASS", 1.0, 16), verdict.reason
    assert verdict.details["preemptions"] >= 3
    assert {each.server["preemptions"] for each in measured.items} == {verdict.details["preemptions"]}
    assert all(len(each.token_ids) == 320 for each in measured.items)


def test_a_shift_in_what_is_computed_again_is_caught(judged, reference_server):
    server = reference_server("--kv-cache-tokens", "4096", dtype="bfloat16", defect="recompute-shift")
    verdict, _ = judged(server.url)
    assert verdict.status == "FAIL", verdict
    assert "does not confirm" in verdict.reason


def test_a_server_that_never_preempts_is_skipped_and_one_that_fails_is_not(
    judged, reference_server, monkeypatch
):
    """One sequence at a time is never in another's way."""
    monkeypatch.setattr(preemption, "IN_FLIGHT", (2,))
    server = reference_server("--kv-cache-tokens", "512", "--max-num-seqs", "1")
    verdict, measured = judged(server.url)
    assert (verdict.status, measured.items, measured.complete) == ("SKIPPED", (), True)
    assert "npu never preempted, up to 2 requests of 320 tokens at once: serve it" in verdict.reason

    def refuse(path, body):
        if path == "/v1/completions" and "ignore_eos" in body:
            raise Refusal(500, "application/json", '{"error": {"message": "EngineCore died"}}')
        return body

    with altering_proxy(server.url, request=refuse) as url:
        verdict, _ = judged(url)
    assert verdict.status == "INVALID"
    assert "2 of 2 requests at once failed, first" in verdict.reason
    assert "EngineCore died" in verdict.reason
