"""The user's command on real servers: what it says, writes and returns."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import xmlschema
from junitparser import JUnitXml

from pytest_gptoss.report.formats.junit import PROPERTIES, properties, suite_properties

pytest_plugins = ["pytester"]

JUNIT = xmlschema.XMLSchema(Path(__file__).parents[1] / "report" / "junit.xsd")
SKIPPED_WITHOUT_CPU = {
    "baseline.perplexity", "baseline.kl", "precision.error_ratio", "preflight.known_defects",
}  # fmt: skip
"""Without a CPU reference; and the servers run on CPUs, of which no defect is known."""


def test_a_sound_pair_is_accepted_and_reported(accept, urls, valid_report, pytester):
    result = accept(*urls, "--junitxml=acceptance.xml", "--gptoss-lang=zh")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    document = valid_report("acceptance.json")
    assert document["state"] == "finished"
    assert document["run"]["verdict"] == "PASSED IN PART"  # performance was left out
    verdicts = {row["threshold_id"]: row["verdict"] for row in document["verdicts"]}
    assert {name for name, verdict in verdicts.items() if verdict == "SKIPPED"} == SKIPPED_WITHOUT_CPU
    assert set(verdicts.values()) == {"PASS", "SKIPPED"}
    result.stdout.fnmatch_lines(["*embedded demonstration, no device was accepted*"])
    result.stdout.fnmatch_lines(["precision.perplexity_diff: the limit is ours*"])
    assert all(len(line) <= 80 for line in _summary(result)), _summary(result)

    precision = valid_report("precision_report.json")
    assert len(precision["metrics"]) == 4
    assert len(precision["prompts"]) == 6
    assert all(prompt["prompt_token_ids_equal"] and prompt["match"] for prompt in precision["prompts"])
    cells = ("d000-256", "d025-512", "d050-1k", "d075-2k", "d100-4k")
    beside = {f"needle_{what}.{cell}" for what in ("edge", "first_token") for cell in cells}
    assert {note["name"] for note in document["measurements"]["info"]} == {
        "noise_npu", "noise_gpu", "edges", "effort", "position_drift.4k", *beside,
    }  # fmt: skip

    cases = [case for suite in JUnitXml.fromfile(str(pytester.path / "acceptance.xml")) for case in suite]
    assert len(cases) == len(verdicts)
    root = ET.parse(pytester.path / "acceptance.xml").getroot()
    for case in root.iter("testcase"):
        found = {item.get("name"): item.get("value") for item in case.iter("property")}
        assert set(found) <= set(PROPERTIES)
        row = next(row for row in document["verdicts"] if row["threshold_id"] == found["threshold_id"])
        assert found["verdict"] == row["verdict"]
        if row["value"] is not None:
            assert float(found["value"]) == row["value"]
    suite = {item.get("name"): item.get("value") for item in root.find("testsuite/properties")}
    assert suite == dict(suite_properties(document))
    JUNIT.validate(pytester.path / "acceptance.xml")
    # What was measured for all rows is in no row's own time.
    own = sum(float(case.get("time")) for case in root.iter("testcase"))
    assert own < 0.5 * float(root.find("testsuite").get("time"))

    reports = pytester.path / "gptoss-report"
    assert "部分通过" in (reports / "acceptance.md").read_text("utf-8")
    assert '<html lang="zh">' in (reports / "acceptance.html").read_text("utf-8")
    result.stdout.fnmatch_lines(["gptoss: npu at http://127.0.0.1:*; gpu at http://127.0.0.1:*"])


def _summary(result):
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if "= GPT-OSS acceptance =" in line)
    end = next(i for i, line in enumerate(lines) if line.startswith("reports:"))
    return lines[start:end]


def test_selection_measures_only_what_it_needs(accept, urls, report):
    assert accept(*urls, "-k", "leakage").ret == pytest.ExitCode.OK
    measured = {each["id"] for each in report()["measurements"]["scenarios"]}
    assert measured == {"preflight-npu", "preflight-gpu", "greedy-npu-precision-c1-r0"}


def test_xdist_shares_one_measurement(accept, urls, report, verdicts, pytester):
    result = accept(
        *urls, "-n", "2", "-k", "preflight or identical or rouge or leakage", "--junitxml=acceptance.xml",
        "--json-report", "--json-report-file=out.json",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert set(verdicts().values()) == {"PASS", "SKIPPED"}
    assert report()["run"]["verdict"] == "PASSED IN PART"
    result.stdout.fnmatch_lines(["gptoss: npu: *, context *; chat, *", "gptoss: gpu: *, context *; chat, *"])
    found = ET.parse(pytester.path / "acceptance.xml").getroot().find("testsuite/properties")
    assert {item.get("name"): item.get("value") for item in found} == dict(suite_properties(report()))
    JUNIT.validate(pytester.path / "acceptance.xml")
    document = json.loads((pytester.path / "out.json").read_text())
    assert document["gptoss"]["run"] == report()["run"]
    facts = {row["threshold_id"]: dict(properties(row)) for row in report()["verdicts"]}
    told = [test["metadata"]["gptoss"] for test in document["tests"]]
    assert {each["threshold_id"]: each for each in told} == facts


def test_without_a_terminal_plugin_the_reports_are_the_same(accept, urls, verdicts):
    assert accept(*urls, "-p", "no:terminal", "-k", "leakage or rouge").ret == pytest.ExitCode.OK
    assert verdicts() == {"precision.rouge_l": "PASS", "precision.leakage": "PASS"}


def test_a_changed_limit_fails_the_row_and_is_shown(accept, urls, report, pytester):
    pytester.path.joinpath("mine.toml").write_text('[thresholds."precision.kl"]\nlimit = 0.0\n')
    result = accept(*urls, "--gptoss-thresholds=mine.toml", "-k", "precision.kl or leakage")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    assert report()["run"]["changed_limits"] == {"precision.kl": {"from": 0.008, "to": 0.0}}
    result.stdout.fnmatch_lines(["*limit changed: precision.kl from 0.008 to 0*", "FAIL *precision.kl*"])


def test_a_waiver_is_neither_green_nor_red(accept, urls, verdicts):
    result = accept(*urls, "--gptoss-waive=precision.hidden_cosine=no rack", "-k", "hidden or leakage", "-rs")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*WAIVED: no rack"])
    assert verdicts()["precision.hidden_cosine"] == "WAIVED"


def test_stopping_early_is_an_interrupted_report(accept, urls, report, pytester):
    pytester.path.joinpath("mine.toml").write_text('[thresholds."precision.perplexity_diff"]\nlimit = 0.0\n')
    result = accept(*urls, "--gptoss-thresholds=mine.toml", "-x", "-k", "perplexity_diff or leakage or rouge")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert report()["state"] == "interrupted"
    assert report()["run"]["verdict"] == "NOT ACCEPTED"


def test_json_report_carries_the_facts(accept, urls, pytester):
    result = accept(*urls, "-k", "leakage", "--json-report", "--json-report-file=out.json")
    assert result.ret == pytest.ExitCode.OK
    document = json.loads((pytester.path / "out.json").read_text())
    assert document["gptoss"]["run"]["verdict"] == "PASSED IN PART"
    (test,) = document["tests"]
    assert test["metadata"]["gptoss"]["threshold_id"] == "precision.leakage"


def test_fixtures_and_hooks_for_a_projects_own_tests(pytester, embedded_pair, urls):
    pytester.makeconftest(
        """
        from pytest_gptoss import Estimate, Greedy, Metric, Threshold

        def pytest_gptoss_prompt_sets(config):
            return {"support": "support.json"}

        def answer_length(*, npu):
            lengths = [item.completion_tokens for item in npu.items]
            return Estimate(float(max(lengths)), "tokens", len(lengths))

        def pytest_gptoss_thresholds(thresholds, metrics):
            metrics["answer_length"] = Metric(
                name="answer_length", compute=answer_length,
                needs=lambda roles: {"npu": Greedy(roles.subject, prompts="support")},
            )
            thresholds["ours.answer_length"] = Threshold(
                id="ours.answer_length", family="precision", metric="answer_length", statistic="max",
                comparison="<=", limit=256, unit="tokens", tier="assurance", source="our house rule",
            )

        def pytest_gptoss_report(config, document):
            document["run"]["seen_by"] = "conftest"
        """
    )
    pytester.path.joinpath("support.json").write_text('["Hello!", "What is the capital of France?"]')
    pytester.makepyfile(
        """
        import pytest
        from pytest_gptoss.scenarios.kinds import Greedy

        def test_devices(npu, gpu, devices, npu_url, gpu_url, device_labels, prompt_sets):
            assert (npu.name, gpu.name) == ("npu", "gpu")
            assert devices["npu"] == npu
            assert npu.url == npu_url and gpu.url == gpu_url
            assert device_labels["npu"] == npu.label
            assert set(prompt_sets) == {"precision", "support", "smoke", "features"}
            assert npu.capabilities.pooling

        def test_measure_and_verdict(measure, verdict, npu):
            answers = measure(Greedy(npu.name, prompts="support")).items
            assert [answer.prompt_id for answer in answers] == ["prompt-001", "prompt-002"]
            assert measure(Greedy(npu.name, prompts="support")).items is answers
            assert verdict("ours.answer_length").status == "PASS"

        def test_there_is_no_cpu(cpu):
            raise AssertionError("skipped before it comes here")

        @pytest.mark.asyncio
        async def test_clients(npu_client, gpu_client, npu):
            for client in (npu_client, gpu_client):
                models = (await client.get("/v1/models")).json()["data"]
                assert npu.model in [model["id"] for model in models]

        @pytest.mark.asyncio
        async def test_measuring_inside_a_running_loop(measure, npu):
            assert measure(Greedy(npu.name, prompts="support", repeat=5)).items
        """
    )
    result = pytester.runpytest_subprocess(
        *urls, "-p", "no:cacheprovider", "--gptoss-profile=embedded",
        "-o", "asyncio_default_fixture_loop_scope=function",
    )  # fmt: skip
    result.assert_outcomes(passed=4, skipped=1)
    document = json.loads((pytester.path / "gptoss-report" / "acceptance.json").read_text())
    assert document["run"]["seen_by"] == "conftest"
