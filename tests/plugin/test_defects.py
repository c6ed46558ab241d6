"""Teeth: each defect of the NPU's server turns the precision rows red that a reader expects, and no other."""

import json
import subprocess
import sys

import pytest

from pytest_gptoss.model.resources import acceptance_tests, fixture

pytest_plugins = ["pytester"]

NUMERIC = {"precision.perplexity_diff", "precision.kl", "precision.forced_agreement"}
GREEDY = {"precision.token_match_rate", "precision.rouge_l"}

EXPECTED = {
    "no-sinks": {"FAIL": NUMERIC | GREEDY},
    "decode-no-sinks": {"FAIL": {"precision.decode_prefill", *GREEDY}},
    "plain-swiglu": {"FAIL": {"precision.perplexity_diff", "precision.kl", *GREEDY}},
    "zero-expert": {"FAIL": NUMERIC | GREEDY},
    "repeat-token": {"FAIL": GREEDY},
    "wrong-date": {"FAIL": {"inputs.identical"}, "INVALID": GREEDY | NUMERIC - {"precision.perplexity_diff"}},
    "harmony-leak": {"FAIL": {"precision.leakage"}},  # ROUGE-L is judged from the ids, which are right
}
"""Rows by the colour that the defect must give them."""

MAY = {
    "no-sinks": {"precision.hidden_cosine"},
    "decode-no-sinks": {"precision.leakage"},
    "plain-swiglu": {"precision.hidden_cosine", "precision.forced_agreement", "precision.leakage"},
    "zero-expert": {"precision.hidden_cosine"},
    "repeat-token": {"precision.leakage"},  # a repeated control token shows in the text
}
"""Rows that a defect may also turn red, by how much it happens to hurt the checkpoint."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, few_texts):
    """A folder with some of the embedded prompts, and later the recorded baseline."""
    folder = tmp_path_factory.mktemp("defects")
    prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
    past_the_window = next(prompt for prompt in prompts if len(json.dumps(prompt)) > 1000)
    some = [*prompts[::12], past_the_window]
    short = [{**prompt, "max_tokens": 40} for prompt in some]  # a broken model would never stop
    (folder / "prompts.json").write_text(json.dumps(short), "utf-8")
    return folder


def _accept(folder, *arguments):
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider",
            "-p", "few_texts", "--gptoss-profile=embedded", "--gptoss-prompts=prompts.json",
            "-m", "precision", *arguments,
        ],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    report = json.loads((folder / "gptoss-report" / "acceptance.json").read_text("utf-8"))
    return done, {row["threshold_id"]: row["verdict"] for row in report["verdicts"]}


@pytest.fixture(scope="module")
def baseline(workplace, embedded_pair):
    """The sound GPU, recorded once against the sound NPU; the sound run must be green."""
    urls = [f"--{role}-url={url}" for role, url in embedded_pair.items()]
    done, verdicts = _accept(workplace, *urls, "--gptoss-record=baseline.zip")
    assert done.returncode == 0, done.stdout
    assert set(verdicts.values()) == {"PASS", "SKIPPED"}
    return workplace / "baseline.zip"


@pytest.mark.parametrize("defect", sorted(EXPECTED))
def test_a_defect_is_red_where_expected_and_nowhere_else(defect, workplace, baseline, reference_server):
    npu = reference_server(defect=defect, dtype="bfloat16")
    done, found = _accept(workplace, f"--npu-url={npu.url}", f"--gptoss-baseline={baseline}")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    expected = {row: status for status, rows in EXPECTED[defect].items() for row in rows}
    assert {row: found[row] for row in expected} == expected, done.stdout
    others = {row for row, status in found.items() if status in ("FAIL", "INVALID")} - set(expected)
    assert others <= MAY.get(defect, set()), done.stdout
    first = next(line for line in done.stdout.splitlines() if line.startswith("E ") or "npu-" in line)
    assert "npu-" in first


def test_nan_logits_make_rows_invalid_and_say_so(workplace, baseline, reference_server):
    npu = reference_server(defect="nan-logits", dtype="bfloat16")
    done, found = _accept(workplace, f"--npu-url={npu.url}", f"--gptoss-baseline={baseline}")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    # What cannot be measured is no breach: a server that answers 500 is not compared.
    for row in (*GREEDY, *NUMERIC):
        assert found[row] == "INVALID", done.stdout
    assert "500" in done.stdout
    assert "NaN" in done.stdout or "nan" in done.stdout
