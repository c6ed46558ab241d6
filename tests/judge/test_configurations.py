"""Which of several configurations departs, and what that says."""

import pytest

from pytest_gptoss.judge.configurations import configuration_matrix


def row(npu, threshold_id, verdict, value=1.0):
    return {
        "npu": npu, "threshold_id": threshold_id, "verdict": verdict, "value": value, "comparison": ">=",
        "limit": 0.95, "unit": "share", "npu_label": f"label of {npu}",
    }  # fmt: skip


def judged(from_gpu=(), from_first=(), npus=("tp1", "tp8", "eager")):
    rows = []
    for npu in npus:
        rows.append(row(npu, "precision.token_match_rate", "FAIL" if npu in from_gpu else "PASS"))
        if npu != npus[0]:
            verdict = "FAIL" if npu in from_first else "PASS"
            rows.append(row(npu, "configuration.token_match_rate", verdict))
    return configuration_matrix(npus, rows)


def test_one_device_has_no_matrix():
    assert configuration_matrix(["npu"], [row("npu", "precision.rouge_l", "PASS")]) is None
    assert configuration_matrix(["a", "b"], []) is None


def test_all_agree():
    matrix = judged()
    assert matrix["finding"] is None
    assert [each["departs_from"] for each in matrix["configurations"]] == [[], [], []]
    first, second, _ = matrix["configurations"]
    assert first["against_first"]["token_match_rate"] is None
    assert second["against_first"]["token_match_rate"]["verdict"] == "PASS"
    assert second["against_gpu"]["hidden_cosine"] is None
    assert second["label"] == "label of tp8"


@pytest.mark.parametrize(
    ("from_gpu", "from_first", "words"),
    [
        (("tp8",), ("tp8",), "suspect what tp8 has and tp1 and eager has not"),
        (("tp1",), ("tp8", "eager"), "suspect what tp1 has and tp8 and eager has not"),
        (("tp1", "tp8", "eager"), (), "in all configurations alike"),
        ((), ("eager",), "departs: eager from tp1"),
        (("tp1", "tp8"), ("eager",), "suspect what tp1 and tp8 has and eager has not"),
    ],
)
def test_who_departs(from_gpu, from_first, words):
    matrix = judged(from_gpu, from_first)
    assert words in matrix["finding"]
    departing = {each["device"]: each["departs_from"] for each in matrix["configurations"]}
    assert {name for name, others in departing.items() if "gpu" in others} == set(from_gpu)
    assert {name for name, others in departing.items() if "tp1" in others} == set(from_first)


@pytest.mark.parametrize("verdict", ["INVALID", "SKIPPED", None])
def test_a_configuration_that_was_not_measured_is_not_called_sound(verdict):
    rows = [row("graph", "precision.rouge_l", "FAIL")]
    rows += [row("eager", "precision.rouge_l", verdict)] if verdict else []
    assert configuration_matrix(["eager", "graph"], rows)["finding"] == "departs: graph from gpu"


def test_one_doubtful_figure_takes_a_configuration_from_the_sound_ones():
    rows = [
        row("graph", "precision.rouge_l", "FAIL"),
        row("eager", "precision.rouge_l", "PASS"),
        row("eager", "precision.hidden_cosine", "INVALID"),
    ]
    assert configuration_matrix(["eager", "graph"], rows)["finding"] == "departs: graph from gpu"


def test_without_a_baseline_they_are_compared_with_each_other():
    rows = [row("b", "configuration.rouge_l", "FAIL")]
    matrix = configuration_matrix(["a", "b"], rows)
    assert matrix["finding"] == "departs: b from a"
