"""The error ratio of a run with a CPU reference: live under xdist, replayed, and from a recorded baseline."""

import pytest

pytest_plugins = ["pytester"]

ROWS = ("-k", "error_ratio", "--gptoss-cpu-sequences=4")


def test_xdist_replay_and_record_give_one_error_ratio(accept, embedded_pair, reference_server, report):
    # Weights of four bits tell the device from the baseline, so that the ratio is a figure of both.
    npu = reference_server(defect="int4-experts", dtype="bfloat16").url

    def judged(*arguments, directory="gptoss-report"):
        result = accept(*arguments, f"--gptoss-report={directory}", *ROWS)
        assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stdout.str()
        (row,) = (
            each for each in report(directory=directory)["verdicts"]
            if each["threshold_id"] == "precision.error_ratio"
        )  # fmt: skip
        return row

    live = judged(
        f"--npu-url={npu}", f"--gpu-url={embedded_pair['npu']}", f"--cpu-url={embedded_pair['gpu']}",
        "-n", "2", "--gptoss-record=base.zip",
    )  # fmt: skip
    assert (live["verdict"], live["n"]) == ("FAIL", 4)
    assert live["value"] > live["limit"]
    replayed = judged("--gptoss-replay=gptoss-report", directory="replayed")
    recorded = judged(f"--npu-url={npu}", "--gptoss-baseline=base.zip", directory="recorded")
    figures = ("verdict", "value", "n", "ci")
    assert [replayed[each] for each in figures] == [live[each] for each in figures]
    # Measured once more, and its requests may have shared a step of the server with none or with others.
    assert recorded["value"] == pytest.approx(live["value"], rel=0.05)
    assert recorded["n"] == live["n"]
    assert recorded["details"]["sequences"].keys() == live["details"]["sequences"].keys()
