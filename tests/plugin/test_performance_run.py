"""Load by the user's command: every level complete and reported, an interruption, the document's flags."""

import json
import subprocess
import sys
import threading

import pytest
from altering_proxy import altering_proxy
from starting import output_after_ctrl_c, started_as_a_terminal_does

pytest_plugins = ["pytester"]

CHAT = "/v1/chat/completions"
LEVELS = ("c01", "c04", "c08", "c16")
SMALL = ("--gptoss-num-requests=3", "--gptoss-max-tokens=6", "--gptoss-no-calibration")


@pytest.fixture
def benchmark(valid_report):
    """The benchmark report, held against its schema."""
    return lambda: valid_report("benchmark_report.json")


def is_load(path, body):
    return path == CHAT and "min_tokens" in body


def test_all_levels_on_a_sound_pair_with_two_workers(
    accept, embedded_pair, verdicts, benchmark, report, pytester
):
    pytester.path.joinpath("mine.toml").write_text(
        '[thresholds."performance.ttft.c04"]\nlimit = 60000\nstatistic = "p99"\n'
        '[thresholds."performance.client_delay.c04"]\nlimit = 0.000001\n'
    )
    result = accept(
        f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}", "-m", "performance",
        "-n", "2", "--gptoss-num-requests=16", "--gptoss-max-tokens=4", "--gptoss-prompt-len=160",
        "--gptoss-thresholds=mine.toml", "--junitxml=out.xml", prompts=None,
    )  # fmt: skip
    judged = verdicts()
    sound = {f"performance.{row}.{level}" for row in ("completed", "uncached") for level in LEVELS}
    assert {judged[row] for row in sound} == {"PASS"}, result.stdout.str()
    # The pace of this machine is no matter here; whether its figures can be judged at all is.
    paced = ("ttft.c01", "tpot.c01", "throughput.c16", "qps.c16", "ttft.c04")
    assert {judged[f"performance.{row}"] for row in paced} <= {"PASS", "FAIL"}, result.stdout.str()
    # No instrument is that exact: a twentieth of a millionth of a millisecond.
    assert judged["performance.client_delay.c04"] == "INVALID"
    assert "the instrument is too coarse: at concurrency 4" in result.stdout.str()

    document = benchmark()
    levels = {level["level"]: level for level in document["levels"]}
    assert tuple(levels) == LEVELS
    for level in levels.values():
        assert (level["completed"], level["failed"], level["device"]) == (16, 0, "npu")
        assert (level["prompt_tokens"], level["max_tokens"]) == (160, 4)
        assert level["server"]["prefix_cache_hits"] == 0
        assert level["server"]["generation_tokens"] == 16 * 4
        assert level["server"]["ttft_count"] == 16
        assert level["instrument"]["concurrency"] == level["concurrency"]
        assert level["ttft_ms"]["n"] == 16
        assert level["full_concurrency"]["seconds"] <= level["seconds"]
        assert level["rtt_ms"] > 0
        assert level["client"]["cpu_share"] > 0
    requests = document["requests"]
    assert len({request["id"] for request in requests}) == len(requests) == 64
    for request in requests:
        assert (request["prompt_tokens"], request["completion_tokens"], sum(request["tokens"])) == (160, 4, 4)
        stamps = [request["start_ns"], request["sent_ns"], *request["token_ns"], request["end_ns"]]
        assert stamps == sorted(stamps)
    in_document = report()["measurements"]["load"]
    assert in_document["levels"] == document["levels"]
    assert [error["concurrency"] for error in in_document["instrument"]["errors"]] == [1, 4, 8, 16]
    assert "performance.ttft.c04 is judged by its p99, as the thresholds file says" in document["notes"]
    assert any("output tokens: c01 4 (profile: 32)" in note for note in document["notes"])
    table = [line.split() for line in result.outlines if line.startswith(("c01", "c16"))]
    assert [(row[0], row[1], row[2]) for row in table] == [("c01", "npu", "16/16"), ("c16", "npu", "16/16")]
    start = next(i for i, line in enumerate(result.outlines) if "= GPT-OSS acceptance =" in line)
    end = next(i for i, line in enumerate(result.outlines) if line.startswith("reports:"))
    assert max(map(len, result.outlines[start:end])) <= 80
    assert "gptoss_instrument_c16" in pytester.path.joinpath("out.xml").read_text("utf-8")


def test_ctrl_c_leaves_the_finished_level_judged(pytester, embedded_pair, report, benchmark):
    reached, count, lock = threading.Event(), [0], threading.Lock()

    def count_load(path, body):
        if is_load(path, body):
            with lock:
                count[0] += 1
                # One to warm up and three measured at level 1, two to warm up at level 2, and one more.
                if count[0] == 1 + 3 + 2 + 2:
                    reached.set()
        return body

    with altering_proxy(embedded_pair["npu"], request=count_load) as npu:
        process = started_as_a_terminal_does(
            pytester, f"--npu-url={npu}", "--gptoss-profile=embedded", "-m", "performance", *SMALL,
            "--gptoss-concurrency=1,2",
        )  # fmt: skip
        output = output_after_ctrl_c(process, reached)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    document = report()
    assert document["state"] == "interrupted"
    judged = {row["threshold_id"]: row["verdict"] for row in document["verdicts"]}
    assert judged["performance.completed.c01"] == "PASS"
    assert "performance.completed.c02" not in judged
    levels = {level["level"]: level for level in benchmark()["levels"]}
    assert levels["c01"]["complete"]
    assert levels["c01"]["completed"] == 3
    assert not levels["c02"]["complete"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "gptoss: proxies of ALL_PROXY are ignored; --gptoss-trust-env uses them"),
        (("--gptoss-trust-env",), "gptoss: load connects directly, without the proxy of ALL_PROXY"),
    ],
)
def test_a_proxy_that_load_goes_without_is_said(accept, embedded_pair, monkeypatch, options, says):
    for name in ("no_proxy", "NO_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with altering_proxy("") as proxy:  # asked for whole URLs, it passes them on as they are
        monkeypatch.setenv("ALL_PROXY", proxy)
        result = accept(f"--npu-url={embedded_pair['npu']}", "-k", "preflight.ready", *options)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert [line for line in result.outlines if "ALL_PROXY" in line] == [says]


def test_the_documents_command(pytester, embedded_pair):
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest_gptoss.cli", "benchmark",
            "--api-url", f"{embedded_pair['npu']}{CHAT}", "--num-requests", "3", "--max-tokens", "6",
            "--concurrency", "1", "--output", "single.json",
            "--gptoss-profile=embedded", "--gptoss-no-calibration",
            "--gptoss-waive=performance.ttft.c01=busy", "--gptoss-waive=performance.tpot.c01=busy",
        ],
        cwd=pytester.path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    document = json.loads(pytester.path.joinpath("single.json").read_text("utf-8"))
    assert [(level["concurrency"], level["completed"]) for level in document["levels"]] == [(1, 3)]
    assert len(document["requests"]) == 3
    assert not (pytester.path / "gptoss-report").exists()
