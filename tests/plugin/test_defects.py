"""Teeth: each defect of the NPU's server turns the rows red that a reader would expect, and no other."""

import pytest

pytest_plugins = ["pytester"]

NUMERIC = {"precision.perplexity_diff", "precision.kl"}
COMPARED = {
    "precision.token_match_rate", "precision.rouge_l", "precision.forced_agreement", "precision.kl",
}  # fmt: skip

EXPECTED = {
    "plain-swiglu": {"FAIL": NUMERIC | {"precision.token_match_rate", "precision.rouge_l"}},
    "zero-expert": {"FAIL": NUMERIC | {"precision.token_match_rate", "precision.rouge_l"}},
    "repeat-token": {"FAIL": {"precision.token_match_rate", "precision.rouge_l"}},
    "wrong-date": {"FAIL": {"inputs.identical"}, "INVALID": COMPARED},
    "harmony-leak": {"FAIL": {"precision.leakage", "precision.rouge_l"}},
}
MAY = {
    "plain-swiglu": {"precision.hidden_cosine", "precision.forced_agreement"},
    "zero-expert": {"precision.hidden_cosine", "precision.forced_agreement"},
    "repeat-token": {"precision.decode_prefill"},
}
"""Rows that a defect may also turn red, by how much it happens to hurt the checkpoint."""


@pytest.mark.parametrize("defect", sorted(EXPECTED))
def test_a_defect_is_red_where_expected_and_nowhere_else(
    defect, accept, embedded_pair, reference_server, verdicts
):
    npu = reference_server(defect=defect, dtype="bfloat16")
    result = accept(f"--npu-url={npu.url}", f"--gpu-url={embedded_pair['gpu']}", prompts=None)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = verdicts()
    expected = {row: status for status, rows in EXPECTED[defect].items() for row in rows}
    assert {row: found[row] for row in expected} == expected
    others = {row for row, status in found.items() if status in ("FAIL", "INVALID")} - set(expected)
    assert others <= MAY.get(defect, set())


def test_nan_logits_make_rows_invalid_and_say_so(accept, embedded_pair, reference_server, verdicts):
    npu = reference_server(defect="nan-logits", dtype="bfloat16")
    result = accept(f"--npu-url={npu.url}", f"--gpu-url={embedded_pair['gpu']}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "PASS" not in {
        verdicts()[row] for row in ("precision.token_match_rate", "precision.perplexity_diff")
    }
    result.stdout.fnmatch_lines(["*INVALID*precision.perplexity_diff*"])
