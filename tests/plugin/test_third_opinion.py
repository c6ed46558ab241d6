"""A CPU reference qualifies the baseline; of three devices the odd one out is named."""

import pytest

pytest_plugins = ["pytester"]

COMPARED = {
    "precision.token_match_rate", "precision.hidden_cosine", "precision.perplexity_diff",
    "precision.rouge_l", "precision.forced_agreement", "precision.kl",
}  # fmt: skip


def _edges(report):
    return {edge["edge"]: edge for edge in report("precision_report.json")["edges"]}


def test_a_sound_baseline_is_qualified_and_three_edges_reported(
    accept, embedded_pair, reference_server, verdicts, report
):
    gpu = reference_server(dtype="bfloat16")
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={gpu.url}",
        f"--cpu-url={embedded_pair['gpu']}", "-k", "baseline or precision.kl",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    rows = ("preflight.baseline", "baseline.perplexity", "baseline.kl", "precision.kl")
    assert verdicts() == dict.fromkeys(rows, "PASS")
    edges = _edges(report)
    assert set(edges) == {"npu-gpu", "npu-cpu", "gpu-cpu"}
    assert {edge["odd_one_out"] for edge in edges.values()} == {None}


def test_a_broken_baseline_blames_the_baseline_not_the_npu(
    accept, embedded_pair, reference_server, verdicts, report
):
    gpu = reference_server(defect="zero-expert", dtype="bfloat16")
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={gpu.url}", f"--cpu-url={embedded_pair['gpu']}",
        "-m", "precision",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = verdicts()
    assert "FAIL" in {found["baseline.perplexity"], found["baseline.kl"]}
    assert {found[row] for row in COMPARED} == {"INVALID"}
    assert {found[row] for row in ("inputs.identical", "precision.leakage", "precision.decode_prefill")} == {
        "PASS"
    }
    result.stdout.fnmatch_lines(["INVALID npu-precision.token_match_rate: baseline.*does not hold*"])


def test_a_broken_npu_is_named_the_odd_one_out(accept, embedded_pair, reference_server, report):
    npu = reference_server(defect="zero-expert", dtype="bfloat16")
    result = accept(
        f"--npu-url={npu.url}", f"--gpu-url={embedded_pair['npu']}", f"--cpu-url={embedded_pair['gpu']}",
        "-k", "precision.kl",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {edge["odd_one_out"] for edge in _edges(report).values()} == {"npu"}
    result.stdout.fnmatch_lines(["*npu is the odd one out*"])
