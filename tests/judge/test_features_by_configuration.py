"""Which configuration has which feature, and what its comparisons say."""

import pytest

from pytest_gptoss.judge.features import FEATURE_FACTS, feature_findings, outcome_of
from pytest_gptoss.model.subjects import KnownFact


def known(*facts):
    pairs = [fact.split("=") for fact in facts]
    return {name: KnownFact(name, value, "serve line") for name, value in pairs}


def row(npu, threshold_id, verdict):
    return {"npu": npu, "threshold_id": threshold_id, "verdict": verdict}


def has(feature, *facts):
    found = feature_findings(["npu"], {"npu": known(*facts)}, [])
    (said,) = next(each["configurations"] for each in found if each["feature"] == feature)
    return said["has"], said["setting"]


@pytest.mark.parametrize(
    ("feature", "facts", "said"),
    [
        ("aclgraph", (), (None, None)),
        ("aclgraph", ("enforce_eager=False",), (True, "enforce_eager=False")),
        ("aclgraph", ("enforce_eager=True", "cudagraph_mode=FULL"), (False, "enforce_eager=True")),
        ("aclgraph", ("enforce_eager=False", "cudagraph_mode=NONE"), (False, "cudagraph_mode=NONE")),
        ("aclgraph", ("cudagraph_mode=FULL_DECODE_ONLY",), (True, "cudagraph_mode=FULL_DECODE_ONLY")),
        ("aclgraph", ("enforce_eager=False", "ascend_graphs=torchair"), (True, "ascend_graphs=torchair")),
        ("aclgraph", ("enforce_eager=perhaps",), (None, None)),
        ("tp", ("tensor_parallel_size=2",), (True, "tensor_parallel_size=2")),
        ("tp", ("tensor_parallel_size=1",), (False, "tensor_parallel_size=1")),
        ("pp", ("pipeline_parallel_size=many",), (None, None)),
        ("ep", ("enable_expert_parallel=true",), (True, "enable_expert_parallel=true")),
    ],
)
def test_a_feature_is_on_off_or_not_known(feature, facts, said):
    assert has(feature, *facts) == said


@pytest.mark.parametrize("feature", FEATURE_FACTS)
def test_the_fact_that_is_asked_for_tells_the_feature(feature):
    assert has(feature, FEATURE_FACTS[feature]) == (True, FEATURE_FACTS[feature])


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ((), "not judged"),
        (("PASS", "SKIPPED"), "agrees"),
        (("PASS", "INVALID"), "not judged"),
        (("SKIPPED",), "not judged"),
        (("PASS", "INVALID", "FAIL"), "departs"),
    ],
)
def test_what_comparisons_say_together(verdicts, outcome):
    assert outcome_of([row("npu", "precision.kl", each) for each in verdicts]) == outcome


def test_each_configuration_has_its_own_comparisons():
    rows = [
        row("eager", "precision.rouge_l", "PASS"),
        row("tp2", "precision.rouge_l", "PASS"),
        row("tp2", "configuration.token_match_rate", "FAIL"),
        row("tp2", "needle.recall.d000-4k", "FAIL"),
    ]
    facts = {"eager": known("tensor_parallel_size=1"), "tp2": known("tensor_parallel_size=2")}
    tp = feature_findings(["eager", "tp2", "refused"], facts, rows)[1]
    assert tp["feature"] == "tp"
    assert [each["has"] for each in tp["configurations"]] == [False, True, None]
    assert tp["configurations"][1] == {
        "device": "tp2", "has": True, "setting": "tensor_parallel_size=2", "source": "serve line",
        "against_gpu": "agrees", "against_first": "departs", "departs": ["configuration.token_match_rate"],
    }  # fmt: skip
