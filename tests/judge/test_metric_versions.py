"""Versions of components, from facts written down by hand."""

import pytest
from made_servers import facts

from pytest_gptoss.judge.metrics.preflight_versions import versions
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.subjects import KnownFact


def test_versions_known_and_unknown():
    estimate = versions(npu=facts(), stated={"npu": {"cann": "8.5.1"}})
    assert (estimate.value, estimate.n) == (0, 2)
    assert estimate.details["unknown"] == ["vllm_ascend", "torch", "torch_npu"]
    assert "--gptoss-info npu.vllm_ascend=0.18.0" in estimate.details["note"]


def test_an_old_version_is_named_with_its_source():
    old = facts(known=(KnownFact("torch_npu", "2.8.0.post1", "npu.log:7"),))
    estimate = versions(npu=old, stated={})
    assert estimate.value == 1
    assert "torch_npu 2.8.0.post1 < 2.9.0 (npu.log:7)" in estimate.details["finding"]


def test_no_version_at_all_is_no_verdict():
    with pytest.raises(ConditionAbsent, match=r"npu\.vllm=0\.18\.0"):
        versions(npu=facts(version="something else"), stated={})


def required_versions(server, **stated):
    compute = metric_named(load_profile("atlas-800-a2").thresholds["preflight.versions"].metric).compute
    return compute(npu=server, stated={"npu": stated})


@pytest.mark.parametrize(
    ("version", "stated", "missing"),
    [
        ("0.18.0", {}, ["vllm_ascend", "cann"]),
        ("0.18.0", {"vllm_ascend": "0.18.0"}, ["cann"]),
        ("0.18.0", {"vllm_ascend": "0.18.0", "torch_npu": "2.9.0"}, ["cann"]),
        (None, {"vllm_ascend": "0.18.0", "cann": "8.5.1"}, ["vllm"]),
        ("a proxy", {}, ["vllm", "vllm_ascend", "cann"]),
    ],
)
def test_on_a_device_an_unknown_version_is_no_verdict(version, stated, missing):
    with pytest.raises(InsufficientData) as error:
        required_versions(facts(version=version), **stated)
    assert not isinstance(error.value, ConditionAbsent)
    options = [f"--gptoss-info npu.{name}=" for name in missing]
    assert [each for each in options if each in str(error.value)] == options
    assert str(error.value).count("--gptoss-info") == len(options)


def test_on_a_device_what_is_stated_or_told_is_enough_and_an_old_version_is_a_breach():
    estimate = required_versions(facts(), vllm_ascend="0.18.0rc1", cann="8.5.1")
    assert (estimate.value, estimate.n) == (0, 3)
    old = required_versions(facts(), cann="8.5.0")
    assert old.value == 1
    assert "cann 8.5.0 < 8.5.1" in old.details["finding"]
