"""Preflight on real servers: it waits, it names what is wrong, and it stops what depends on it at once."""

import socket

import pytest
from altering_proxy import Refusal, altering_proxy

pytest_plugins = ["pytester"]

SOON = "--gptoss-ready-timeout=1"


def _urls(pair):
    return [f"--npu-url={pair['npu']}", f"--gpu-url={pair['gpu']}"]


def test_a_sound_pair_passes(accept, embedded_pair, verdicts, report):
    result = accept(*_urls(embedded_pair), "-m", "preflight")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    found = verdicts()
    assert len(found) == 12
    assert found.pop("preflight.known_defects") == "SKIPPED"  # nothing is known of CPUs
    assert set(found.values()) == {"PASS"}
    assert report()["measurements"]["servers"] == {"changed": [], "sources": []}
    (npu, gpu) = report()["measurements"]["preflight"]
    assert npu["ready"]
    assert gpu["harmony_date"] == "2026-01-01"
    facts = {fact["name"]: fact["value"] for fact in npu["facts"]}
    assert facts["dtype"] == "torch.bfloat16"
    result.stdout.fnmatch_lines(["*not known: vllm, vllm_ascend, cann, torch_npu; state it*"])


def test_preflight_comes_first_and_what_may_kill_comes_last(accept, embedded_pair):
    result = accept(*_urls(embedded_pair), "--collect-only", "-q")
    rows = [line.partition("[")[2] for line in result.outlines if "::" in line]
    families = ["preflight." in row for row in rows]
    assert families == sorted(families, reverse=True)
    assert rows[-1] == "npu-capability.survival]"


def test_a_server_that_is_starting_is_waited_for(accept, embedded_pair, verdicts):
    refused = []

    def starting(path, body):
        if path == "/v1/models" and len(refused) < 2:
            refused.append(path)
            raise Refusal(503, "application/json", '{"error": "starting"}')
        return body

    with altering_proxy(embedded_pair["npu"], request=starting) as npu:
        result = accept(f"--npu-url={npu}", "-k", "preflight.ready", "--gptoss-ready-timeout=60")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert len(refused) == 2
    assert verdicts() == {"preflight.ready": "PASS"}


def test_nobody_there_is_one_reason_for_every_row(accept, embedded_pair, details):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = accept(f"--npu-url={url}", f"--gpu-url={embedded_pair['gpu']}", SOON)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    rows = details()
    judged = {name: row for name, row in rows.items() if row["verdict"] not in ("PASS", "SKIPPED")}
    without_cpu = {"baseline.perplexity", "baseline.kl", "precision.error_ratio"}
    assert set(rows) - set(judged) == {"preflight.baseline", *without_cpu}
    assert {row["verdict"] for row in judged.values()} == {"INVALID"}
    reason = judged.pop("preflight.ready")["reason"]
    assert "no server answers there" in reason
    assert {row["reason"] for row in judged.values()} == {f"preflight.ready does not hold: {reason}"}
    assert "Traceback" not in result.stdout.str()


def test_one_server_for_both_proves_nothing(accept, embedded_pair, verdicts):
    url = embedded_pair["npu"]
    result = accept(f"--npu-url={url}", f"--gpu-url={url.replace('127.0.0.1', 'localhost')}/v1", "-k",
                    "distinct or rouge or leakage")  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts() == {
        "preflight.distinct": "FAIL", "precision.rouge_l": "INVALID", "precision.leakage": "PASS",
    }  # fmt: skip
    result.stdout.fnmatch_lines(["*are one server, 127.0.0.1:*correct --npu-url or --gpu-url*"])


@pytest.mark.parametrize("role", ["npu", "gpu"])
def test_a_server_of_another_vocabulary_is_one_reason_for_every_row(accept, embedded_pair, role, details):
    def other_vocabulary(path, body):
        return {"tokens": [128006, 882, 128007, 791]} if path == "/tokenize" else body

    with altering_proxy(embedded_pair[role], answer=other_vocabulary) as url:
        result = accept(*_urls({**embedded_pair, role: url}), "-k", "tokenizer or preflight.baseline or kl")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    rows = details()
    row = {"npu": "preflight.tokenizer", "gpu": "preflight.baseline"}[role]
    assert rows[row]["verdict"] == "FAIL"
    assert f"{role} serves gpt-oss-20b, which is not GPT-OSS or has another tokenizer" in rows[row]["reason"]
    assert rows["precision.kl"]["details"] == {"blocked_by": row}
    assert "400" not in result.stdout.str()


def test_one_server_under_two_names_behind_a_gateway_is_found_out(accept, embedded_pair, details):
    aliases = ("gpt-oss-npu", "gpt-oss-gpu")

    def listing(path, body):
        if path == "/v1/models":
            return {"data": [{**body["data"][0], "id": name} for name in aliases]}
        return body

    def by_name(path, body):
        return {**body, "model": "gpt-oss-20b"} if isinstance(body, dict) and "model" in body else body

    with altering_proxy(embedded_pair["npu"], request=by_name, answer=listing) as url:
        result = accept(
            f"--npu-url={url}", f"--gpu-url={url}", f"--gptoss-npu-model={aliases[0]}",
            f"--gptoss-gpu-model={aliases[1]}", "-k", "distinct",
        )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "are one server under two names" in details()["preflight.distinct"]["reason"]


def test_a_wrong_name_leaves_the_server_ready_and_nothing_else(accept, embedded_pair, verdicts):
    result = accept(*_urls(embedded_pair), "--gptoss-npu-model=nope", "-k", "ready or model or hi or kl")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = verdicts()
    assert found["preflight.ready"] == "PASS"
    assert found["preflight.model"] == found["preflight.smoke_hi"] == found["precision.kl"] == "INVALID"
    assert "'nope' is not served" in result.stdout.str()


def test_a_troubled_server_is_told_its_troubles(accept, embedded_pair, reference_server, details):
    npu = reference_server("--max-model-len", "2048", defect="wrong-date", dtype="bfloat16")

    def older(path, body):
        if path == "/version":
            return {"version": "0.17.1rc2"}
        for choice in body.get("choices", ()) if isinstance(body, dict) else ():
            delta = choice.get("delta") or {}
            for field in ("content", "reasoning"):
                if delta.get(field):
                    delta[field] = delta[field].replace("Paris", "Rome")
            for told in ("token_ids", "logprobs"):  # the ids in them would still say Paris
                choice.pop(told, None)
        return body

    with altering_proxy(npu.url, answer=older, clock_ahead_s=3600) as url:
        result = accept(f"--npu-url={url}", f"--gpu-url={embedded_pair['gpu']}", "-k", "preflight or d075-2k",
                        "--gptoss-info=npu.cann=8.5.0", "--gptoss-info=npu.torch_npu=2.9.0rc1")  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    rows = details()
    failed = {name for name, row in rows.items() if row["verdict"] == "FAIL"}
    assert failed == {
        "preflight.context", "preflight.versions", "preflight.clock", "preflight.date",
        "preflight.smoke_paris",
    }  # fmt: skip
    assert rows["preflight.context"]["value"] == 1024
    assert "vllm 0.17.1rc2 < 0.18.0, cann 8.5.0 < 8.5.1" in rows["preflight.versions"]["reason"]
    assert rows["preflight.clock"]["value"] == pytest.approx(3600, abs=30)
    assert rows["preflight.date"]["value"] == 1
    assert rows["needle.recall.d075-2k"]["verdict"] == "INVALID"


def test_a_context_is_short_only_of_what_was_selected(accept, reference_server, verdicts):
    npu = reference_server("--max-model-len", "2048", dtype="bfloat16")
    result = accept(f"--npu-url={npu.url}", "-k", "preflight.context or recall.d050", prompts=None)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert verdicts() == {"preflight.context": "PASS", "needle.recall.d050-1k": "PASS"}
