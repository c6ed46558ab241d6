"""Hidden states from log-probabilities: the verdict that /pooling gives, live, from files and in a replay."""

import json
import sys

import numpy as np
import pytest
from altering_proxy import Refusal, altering_proxy

RECOVERED = (
    "--gptoss-hidden-npu=logprobs", "--gptoss-hidden-gpu=logprobs", "--gptoss-lm-head=tiny",
    "--gptoss-hidden-positions=16", "-k", "precision.hidden_cosine",
)  # fmt: skip


def _row(report, directory="gptoss-report"):
    rows = report(directory=directory)["verdicts"]
    return next(row for row in rows if row["threshold_id"] == "precision.hidden_cosine")


def test_recovered_states_are_judged_told_and_replayed(accept, urls, report):
    result = accept(*urls, *RECOVERED)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    row = _row(report)
    assert row["verdict"] == "PASS"
    assert [each["way"] for each in row["details"]["sources"]] == ["logprobs", "logprobs"]
    assert row["details"]["positions"] == 16
    assert row["value"] == pytest.approx(row["details"]["mean"])
    result.stdout.fnmatch_lines(
        ["hidden states: npu recovered from * log-probabilities at each of 16 positions*"]
    )
    again = accept("--gptoss-replay=gptoss-report", "--gptoss-report=again", "-k", "precision.hidden_cosine")
    assert again.ret == pytest.ExitCode.OK, again.stdout.str()
    assert _row(report, "again")["value"] == row["value"]


def test_a_recorded_file_of_one_side_meets_pooling_on_the_other(
    accept, urls, report, pytester, embedded_pair
):
    done = pytester.run(
        sys.executable, "-m", "pytest_gptoss.cli", "hidden", "--url", embedded_pair["npu"], "--profile",
        "embedded", "--output", "npu.npz", "--lm-head", "tiny", "--positions", "16",
    )  # fmt: skip
    assert done.ret == 0, done.stderr.str()
    with np.load("npu.npz") as archive:
        assert len(archive["states"]) == 16
    result = accept(*urls, "--gptoss-hidden-npu=npu.npz", "-k", "precision.hidden_cosine", texts=())
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert [each["way"] for each in _row(report)["details"]["sources"]] == ["logprobs", "pooling"]
    assert _row(report)["value"] > 0.99


def _generating(path, body):
    """A server that generates and serves no /pooling."""
    if path == "/pooling":
        raise Refusal(404, "application/json", '{"detail": "Not Found"}')
    return body


def _hot(path, body):
    """Log-probabilities as a server gives them that divides logits by a temperature of 0.5 on its own."""
    for choice in body.get("choices", ()) if path == "/v1/completions" else ():
        for table in (choice.get("logprobs") or {}).get("top_logprobs") or ():
            scaled = 2 * np.array(list(table.values()))
            scaled -= scaled.max() + np.log(np.exp(scaled - scaled.max()).sum())
            table.update(zip(table, scaled.tolist(), strict=True))
    return body


def _few(path, body):
    """The count of log-probabilities that vLLM gives where nobody asks for more."""
    if path == "/v1/completions" and (body.get("logprobs") or 0) > 20:
        said = "Requested sample logprobs of 4096, which is greater than max allowed: 20"
        raise Refusal(400, "application/json", json.dumps({"error": {"message": said, "code": 400}}))
    return body


def test_states_are_recovered_unasked_where_there_is_no_pooling(accept, embedded_pair, report):
    with altering_proxy(embedded_pair["npu"], request=_generating) as url:
        result = accept(
            f"--npu-url={url}", f"--gpu-url={embedded_pair['gpu']}", "--gptoss-lm-head=tiny",
            "--gptoss-hidden-positions=16", "-k", "precision.hidden_cosine",
        )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert [each["way"] for each in _row(report)["details"]["sources"]] == ["logprobs", "pooling"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": _hot}, "log-probabilities are scaled by a temperature or processed"),
        ({"request": _few}, "takes 154 log-probabilities a position: serve with --max-logprobs 4096"),
    ],
)
def test_what_cannot_be_trusted_is_invalid_with_its_own_line(accept, embedded_pair, report, change, said):
    with altering_proxy(embedded_pair["npu"], **change) as url:
        result = accept(f"--npu-url={url}", f"--gpu-url={embedded_pair['gpu']}", *RECOVERED)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    row = _row(report)
    assert row["verdict"] == "INVALID"
    assert said in row["reason"]


def test_a_checkpoint_without_an_output_layer_is_a_usage_error(accept, urls, pytester):
    pytester.makefile(".safetensors", model="no tensors")
    result = accept(*urls, *RECOVERED, "--gptoss-lm-head=model.safetensors")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--gptoss-lm-head: " in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
