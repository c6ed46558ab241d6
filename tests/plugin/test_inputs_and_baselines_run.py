"""The user's command on a recorded baseline, on token ids, on several devices, and a replay of it."""

import pytest

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]


def test_recorded_baseline_then_replay(accept, urls, report, verdicts, pytester, few_texts):
    rows = ("-m", "preflight or precision")
    assert accept(*urls, "--gptoss-record=base.zip", *rows).ret == pytest.ExitCode.OK
    first = report()
    result = accept(urls[0], "--gptoss-baseline=base.zip", "--gptoss-report=second", *rows)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    second = report(directory="second")
    values = [{row["threshold_id"]: row["value"] for row in each["verdicts"]} for each in (first, second)]
    assert values[1].pop("preflight.distinct") is None  # whoever lives there now
    distinct = values[0].pop("preflight.distinct")
    clock = values[0].pop("preflight.clock")
    assert values[1].pop("preflight.clock") == pytest.approx(clock, abs=30)
    for name, value in values[0].items():
        if value is None:
            assert values[1][name] is None
        else:
            assert values[1][name] == pytest.approx(value, rel=0.05, abs=1e-3), name

    pytester.path.joinpath("mine.toml").write_text('[thresholds."precision.rouge_l"]\nlimit = 1.0\n')
    replay = pytester.runpytest_subprocess(
        str(acceptance_tests()), "-p", "no:cacheprovider", *few_texts, "--gptoss-replay=gptoss-report",
        "--gptoss-thresholds=mine.toml", "--gptoss-report=third", *rows,
    )  # fmt: skip
    third = report(directory="third")
    assert replay.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    replayed = {row["threshold_id"]: row["value"] for row in third["verdicts"]}
    assert replayed.pop("preflight.distinct") == distinct
    assert replayed.pop("preflight.clock") == clock
    assert replayed == values[0]
    assert third["run"]["replay_of"].endswith("gptoss-report")
    assert third["run"]["changed_limits"]["precision.rouge_l"]["to"] == 1.0

    other = pytester.path / "other.json"
    other.write_text('["Hello!"]', "utf-8")
    refused = accept(urls[0], "--gptoss-baseline=base.zip", prompts=other)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*base.zip*prompts_sha256*"])


def test_token_id_inputs(accept, urls, verdicts):
    result = accept(*urls, "--gptoss-inputs=token-ids", "-k", "identical or rouge or leakage")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert set(verdicts().values()) == {"PASS"}


def test_several_devices_are_each_judged(accept, embedded_pair, reference_server, report):
    other = reference_server(dtype="bfloat16").url
    result = accept(
        f"--npu-url=one={embedded_pair['npu']}", f"--npu-url=two={other}/v1",
        f"--gpu-url={embedded_pair['gpu']}", "--npu-label=two=the other", "-k", "rouge or identical",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    rows = {(row["npu"], row["threshold_id"]): row for row in report()["verdicts"]}
    compared = {"inputs.identical", "precision.rouge_l"}
    among_themselves = {"configuration.inputs_identical", "configuration.rouge_l"}
    assert {row for npu, row in rows if npu == "one"} == compared
    assert {row for npu, row in rows if npu == "two"} == compared | among_themselves
    assert rows["two", "inputs.identical"]["npu_label"] == "the other"
