"""Open levels by the user's command: measured by two workers, reported, and judged again without a server."""

import pytest

pytest_plugins = ["pytester"]

TRACE = "timestamp,input_length,output_length\n0,60,3\n250,200,5\n300,31,2\n1200,90,4\n"
FILE = """
[workload.slo]
ttft_ms = 60000

[[workload.load.levels]]
name = "r4-own"
rate = 4
arrivals = "constant"
requests = 5
max_tokens = 3

[thresholds."performance.ttft.trace"]
limit = 60000
"""


def test_open_levels_are_measured_reported_and_judged_again(
    accept, embedded_pair, verdicts, valid_report, pytester
):
    pytester.path.joinpath("trace.csv").write_text(TRACE)
    pytester.path.joinpath("mine.toml").write_text(FILE)
    rows = ("-m", "performance", "-k", ".r8] or .r4-own] or .trace]")
    result = accept(
        f"--npu-url={embedded_pair['npu']}", *rows, "-n", "2", "--gptoss-concurrency=1", "--gptoss-rate=8",
        "--gptoss-arrivals=gamma:2", "--gptoss-trace=trace.csv", "--gptoss-trace-speed=2",
        "--gptoss-bench-endpoint=completions", "--gptoss-num-requests=5", "--gptoss-prompt-len=160",
        "--gptoss-max-tokens=4", "--gptoss-ramp-up=0.2", "--gptoss-no-calibration",
        "--gptoss-thresholds=mine.toml", prompts=None,
    )  # fmt: skip
    judged = verdicts()
    levels = ("r4-own", "r8", "trace")
    sound = {f"performance.{row}.{level}" for row in ("completed", "uncached") for level in levels}
    assert sound <= set(judged), result.stdout.str()
    assert {judged[f"performance.completed.{level}"] for level in ("r4-own", "r8")} == {"PASS"}
    document = valid_report("benchmark_report.json")
    found = {level["level"]: level for level in document["levels"]}
    assert tuple(found) == levels
    assert {name: each["failed"] for name, each in found.items()} == dict.fromkeys(levels, 0)

    pytester.path.joinpath("trace.csv").unlink()
    again = accept(
        "--gptoss-replay=gptoss-report", "--gptoss-report=again", "--gptoss-thresholds=mine.toml", *rows,
        prompts=None,
    )  # fmt: skip
    assert verdicts(directory="again") == judged, again.stdout.str()


@pytest.mark.parametrize(
    ("trace", "says"),
    [
        ("timestamp,input_length,output_length\n5,60,3\n4,60,3\n", "trace.csv:3: timestamp is '4', before"),
        ("when,in,out\n5,60,3\n", "trace.csv:1: its columns are 'when', 'in', 'out'"),
    ],
)
def test_a_bad_trace_is_a_usage_error(accept, pytester, trace, says):
    pytester.path.joinpath("trace.csv").write_text(trace)
    result = accept("--npu-url=http://127.0.0.1:9", "--gptoss-trace=trace.csv",
                    "--gptoss-bench-endpoint=completions", prompts=None)  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in result.stderr.str()
