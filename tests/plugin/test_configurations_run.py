"""Several configurations of one device: each against the GPU, each against the first, and a matrix."""

import pytest

pytest_plugins = ["pytester"]


def test_the_configuration_that_departs_is_named(accept, embedded_pair, reference_server, report):
    graph = reference_server(defect="zero-expert", dtype="bfloat16")
    result = accept(
        f"--npu-url=eager={embedded_pair['npu']}", f"--npu-url=graph={graph.url}",
        f"--gpu-url={embedded_pair['gpu']}", "--npu-label=graph=Atlas, ACL graphs",
        "--gptoss-info=eager.tensor_parallel_size=1", "--gptoss-info=graph.tensor_parallel_size=2",
        "-k", "configuration or token_match or identical",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    document = report()
    judged = {(row["npu"], row["threshold_id"]): row for row in document["verdicts"]}
    assert {name for name, row in judged if row.startswith("configuration.")} == {"graph"}
    assert judged["eager", "precision.token_match_rate"]["verdict"] == "PASS"
    assert judged["graph", "precision.token_match_rate"]["verdict"] == "FAIL"
    assert judged["graph", "configuration.inputs_identical"]["verdict"] == "PASS"
    assert judged["graph", "configuration.token_match_rate"]["verdict"] == "FAIL"
    assert judged["graph", "configuration.perplexity_diff"]["unit"] == "% of PPL(first)"
    matrix = document["measurements"]["configurations"]
    assert matrix["first"] == "eager"
    assert [each["departs_from"] for each in matrix["configurations"]] == [[], ["gpu", "eager"]]
    assert matrix["configurations"][1]["label"] == "Atlas, ACL graphs"
    assert "suspect what graph has and eager has not" in matrix["finding"]
    tensor = document["measurements"]["features"][1]
    assert [each["has"] for each in tensor["configurations"]] == [False, True]
    assert [each["against_gpu"] for each in tensor["configurations"]] == ["agrees", "departs"]
    result.stdout.fnmatch_lines(["configuration *token match*", "eager*gpu*", "graph*gpu*", "graph*eager*"])


def test_one_device_has_no_configuration_rows(accept, embedded_pair):
    result = accept(f"--npu-url={embedded_pair['npu']}", "--collect-only", "-q")
    assert "configuration" not in result.stdout.str()
