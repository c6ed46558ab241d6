"""A fleet's nodes side by side: who is odd, who is dead, and whether all differ from the GPU."""

import pytest

from pytest_gptoss.judge.fleet_matrix import fleet_matrix

NODES = ("a", "b", "c", "d")


def row(node, name="fleet.logprobs", verdict="PASS", *, value=1.0, limit=3.0, details=None):
    family = name.partition(".")[0]
    known = verdict in ("PASS", "FAIL")
    return {
        "npu": node, "npu_label": f"label of {node}", "threshold_id": name, "family": family,
        "verdict": verdict, "value": value if known else None, "limit": limit, "comparison": "<=",
        "unit": "spreads", "headroom": (limit - value) / limit if known else None,
        "reason": None if verdict == "PASS" else f"{node} departs", "details": details or {},
    }  # fmt: skip


def matrix(verdicts, *more, gpu=False):
    """The matrix of nodes with these verdicts in the one row, and more rows."""
    rows = [row(node, verdict=verdict) for node, verdict in zip(NODES, verdicts, strict=False)]
    return fleet_matrix(NODES[: len(verdicts)], [*rows, *more], gpu=gpu)


def test_the_worst_node_comes_first_and_the_others_in_their_order():
    rows = [row("a"), row("b", verdict="INVALID"), row("c", verdict="FAIL", value=9.0), row("d", value=2.5)]
    found = fleet_matrix(NODES, [*rows, row("b", "capability.streaming")], gpu=False)
    assert [(each["node"], each["state"]) for each in found["nodes"]] == [
        ("c", "odd"), ("b", "undecided"), ("d", "agrees"), ("a", "agrees"),
    ]  # fmt: skip
    assert found["odd"] == ["c"]
    assert found["dead"] == []
    assert found["rows"] == ["fleet.logprobs"]
    worst = found["nodes"][0]
    assert (worst["failed"], worst["invalid"], worst["label"]) == (1, 0, "label of c")
    assert worst["cells"]["fleet.logprobs"] | {"headroom": None} == {
        "value": 9.0, "comparison": "<=", "limit": 3.0, "unit": "spreads", "verdict": "FAIL",
        "reason": "c departs", "headroom": None,
    }  # fmt: skip


def test_a_node_of_which_nothing_was_measured_is_dead_and_changes_no_other():
    found = matrix(["PASS", "INVALID", "PASS"], row("b", "preflight.ready", "INVALID"))
    assert found["dead"] == ["b"]
    assert found["finding"] == "2 of 3 nodes agree; not measured: b; none was compared with a GPU"


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["PASS"] * 3, "all 3 nodes agree"),
        (["PASS", "FAIL", "PASS"], "1 of 3 nodes is odd: b"),
        (["FAIL", "FAIL", "PASS", "PASS"], "2 of 4 nodes are odd: a, b"),
        (["SKIPPED"] * 3, "the nodes were not compared with each other"),
    ],
)
def test_the_finding_counts_and_names(verdicts, said):
    assert matrix(verdicts)["finding"] == f"{said}; none was compared with a GPU"


@pytest.mark.parametrize(
    ("verdicts", "against", "said"),
    [
        (["PASS"] * 3, ["FAIL"] * 3, "all differ from the GPU: the fault is in what all nodes share"),
        (["PASS"] * 3, ["PASS"] * 3, "none differs from the GPU"),
        (
            ["PASS", "PASS", "FAIL"],
            ["PASS", "PASS", "FAIL"],
            "c differs from the GPU too, the other nodes do not",
        ),
        (["PASS"] * 3, ["PASS", "FAIL", "PASS"], "b differs from the GPU, the other nodes do not"),
        (
            ["FAIL", "PASS", "PASS"],
            ["INVALID", "FAIL", "FAIL"],
            "b, c differs from the GPU; of the other nodes it is not known",
        ),
    ],
)
def test_the_odd_one_is_told_apart_from_all_differ_from_the_gpu(verdicts, against, said):
    more = [row(node, "precision.kl", verdict) for node, verdict in zip(NODES, against, strict=False)]
    found = matrix(verdicts, *more, gpu=True)["finding"]
    assert said in found
    assert "none was compared" not in found


def test_without_a_verdict_against_the_gpu_nothing_is_said_of_it():
    assert matrix(["PASS"] * 3, gpu=True)["finding"] == "all 3 nodes agree"


def test_many_names_are_counted():
    nodes = [f"n{index:02d}" for index in range(20)]
    found = fleet_matrix(nodes, [row(node, verdict="FAIL") for node in nodes], gpu=False)
    assert "20 of 20 nodes are odd: n00, n01, n02, n03, n04, n05, n06, n07 and 12 more" in found["finding"]
    assert len(found["odd"]) == 20


def test_the_rate_of_wrong_tokens_is_that_of_the_node_that_gave_the_fewest():
    details = {"a": (12_000, 0.00025), "b": (3_000, 0.001), "c": (12_000, 0.00025)}
    more = [
        row(node, "fleet.repeat", details={"tokens": tokens, "rate": rate})
        for node, (tokens, rate) in details.items()
    ]
    found = matrix(["PASS"] * 3, *more)["wrong_tokens"]
    assert found == {"tokens": 3_000, "rate": 0.001, "confidence": 0.95}
    assert matrix(["PASS"] * 3)["wrong_tokens"] is None
