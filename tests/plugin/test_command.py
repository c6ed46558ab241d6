"""``pytest-gptoss``: the document's flags, exit statuses and files."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def command(pytester):
    return lambda *arguments: subprocess.run(
        [sys.executable, "-m", "pytest_gptoss.cli", *arguments],
        cwd=pytester.path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_verify_precision_with_the_documents_flags(command, embedded_pair, few_prompts, pytester):
    done = command(
        "verify-precision", "--npu-url", f"{embedded_pair['npu']}/v1/chat/completions",
        "--gpu-url", f"{embedded_pair['gpu']}/v1/chat/completions", "--test-prompts", str(few_prompts),
        "--output", "precision_report.json", "--gptoss-profile=embedded", "-k", "rouge",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    report = json.loads((pytester.path / "precision_report.json").read_text("utf-8"))
    assert {row["name"]: row["verdict"] for row in report["metrics"]} == {"rouge_l": "PASS"}
    assert not (pytester.path / "gptoss-report").exists()


def test_a_failure_and_an_invalid_are_exit_1(command, embedded_pair, few_prompts, pytester):
    pytester.path.joinpath("mine.toml").write_text('[thresholds."precision.perplexity_diff"]\nlimit = 0.0\n')
    urls = [
        "--npu-url",
        embedded_pair["npu"],
        "--test-prompts",
        str(few_prompts),
        "--gptoss-profile=embedded",
    ]
    failed = command(
        "verify-precision", *urls, "--gpu-url", embedded_pair["gpu"], "--gptoss-thresholds=mine.toml",
        "-k", "perplexity_diff",
    )  # fmt: skip
    assert failed.returncode == 1, failed.stdout
    invalid = command("verify-precision", *urls, "-k", "perplexity_diff")
    assert invalid.returncode == 1
    assert "--gpu-url" in invalid.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["verify-precision"], "--npu-url"),
        (["verify-precision", "--npu-url", "http://127.0.0.1:9", "--output", "no/such/dir.json"], "no/such"),
        (["verify-precision", "--npu-url", "127.0.0.1:9", "--gpu-url", "http://g"], "--npu-url"),
        (["hidden", "--url", "nowhere", "--output", "x.npz"], "nowhere"),
        (["hidden", "--url", "http://127.0.0.1:9", "--output", "x.npz", "--colour"], "--colour"),
        (
            ["hidden", "--url", "http://127.0.0.1:9", "--output", "x.npz", "--profile", "none"],
            "no such profile",
        ),
        (
            ["hidden", "--url", "http://127.0.0.1:9", "--output", "x.npz", "--timeout", "nan"],
            "--timeout is 'nan'",
        ),
        (["hidden", "--url", "http://127.0.0.1:9", "--output", "x.npz", "--timeout", "0"], "above 0"),
    ],
)
def test_usage_is_exit_4_without_a_traceback(command, arguments, message):
    done = command(*arguments)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_of_two_report_directories_the_last_is_copied_from(command, embedded_pair, few_prompts, pytester):
    done = command(
        "verify-precision", "--npu-url", embedded_pair["npu"], "--test-prompts", str(few_prompts),
        "--gptoss-profile=embedded", "--output", "mine.json", "--gptoss-report=first",
        "--gptoss-report", "second", "-k", "leakage",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    written = pytester.path / "second" / "precision_report.json"
    assert (pytester.path / "mine.json").read_bytes() == written.read_bytes()
    assert not (pytester.path / "first").exists()


@pytest.mark.parametrize("kept", ["last-week", "other"])
def test_an_earlier_report_is_never_given_out_as_this_runs(command, pytester, kept):
    """A usage error of pytest's: neither last week's copy nor its original stands for this run."""
    directory = pytester.mkdir("last-week")
    (directory / "precision_report.json").write_text("old")
    (pytester.path / "out.json").write_text("old")
    done = command(
        "verify-precision", "--npu-url", "http://127.0.0.1:9", "--gptoss-waive", "typo=x",
        "--output", "out.json", f"--gptoss-report={kept}",
    )  # fmt: skip
    assert done.returncode == 4
    assert not (pytester.path / "out.json").exists()
    assert (directory / "precision_report.json").read_text() == "old"


def test_a_mistake_of_the_commands_own_leaves_the_output(command, pytester):
    (pytester.path / "out.json").write_text("old")
    assert command("verify-precision", "--output", "out.json").returncode == 4
    assert (pytester.path / "out.json").read_text() == "old"


def test_the_output_may_be_the_report_itself(command, pytester):
    done = command(
        "verify-precision", "--npu-url", "http://127.0.0.1:9", "--gptoss-ready-timeout=0.1", "-k", "leakage",
        "--gptoss-report=kept", "--output=kept/precision_report.json",
    )  # fmt: skip
    assert done.returncode == 4
    pytester.mkdir("kept")
    done = command(
        "verify-precision", "--npu-url", "http://127.0.0.1:9", "--gptoss-ready-timeout=0.1", "-k", "leakage",
        "--gptoss-report=kept", "--output=kept/precision_report.json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "metrics" in json.loads((pytester.path / "kept" / "precision_report.json").read_text("utf-8"))


def test_hidden_records_what_the_acceptance_reads(command, embedded_pair, accept, pytester, verdicts):
    for role in ("npu", "gpu"):
        done = command(
            "hidden", "--url", embedded_pair[role], "--output", f"{role}.npz", "--profile", "embedded"
        )
        assert done.returncode == 0, done.stderr
    with np.load(pytester.path / "npu.npz") as archive:
        assert archive["states"].dtype == np.float32
        assert len(archive["states"]) == archive["lengths"].sum()
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}", "-k", "hidden",
        "--gptoss-hidden-npu=npu.npz", "--gptoss-hidden-gpu=gpu.npz", texts=(),
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    other = command("hidden", "--url", embedded_pair["npu"], "--output", "other.npz")
    assert other.returncode == 0, other.stderr
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}", "-k", "hidden",
        "--gptoss-hidden-npu=other.npz", "--gptoss-hidden-gpu=gpu.npz",
    )  # fmt: skip
    assert verdicts()["precision.hidden_cosine"] == "INVALID"
    result.stdout.fnmatch_lines(["*other.npz: recorded from corpus*"])


def test_hidden_from_a_dead_server_is_exit_1(command):
    done = command("hidden", "--url", "http://127.0.0.1:9", "--output", "x.npz")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
