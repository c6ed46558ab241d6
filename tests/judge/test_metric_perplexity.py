"""Perplexity differences by hand, their signs, and what breaks them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import failure, measurement, scored

from pytest_gptoss.judge.metrics.perplexity import baseline_perplexity, perplexity_diff
from pytest_gptoss.model.errors import InsufficientData


def compare(npu, gpu):
    return perplexity_diff(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def test_by_hand():
    estimate = compare(
        [scored("a", [-1.0, -2.0]), scored("b", [-3.0])], [scored("a", [-1.0, -1.0]), scored("b", [-2.0])]
    )
    ours, theirs = math.exp(2), math.exp(4 / 3)
    assert estimate.value == pytest.approx(100 * (ours / theirs - 1))
    assert (estimate.unit, estimate.n) == ("% of PPL(GPU)", 2)
    details = estimate.details
    assert details["perplexity"] == {"npu": pytest.approx(ours), "gpu": pytest.approx(theirs)}
    assert details["difference"] == pytest.approx(ours - theirs)
    assert details["tokens"] == 3
    assert details["sequences"]["a"] == {
        "tokens": 2, "npu": pytest.approx(math.exp(1.5)), "gpu": pytest.approx(math.e)
    }  # fmt: skip
    json.dumps(details, allow_nan=False)


def test_a_better_npu_is_as_different_as_a_worse_one():
    better = compare([scored("a", [-1.0])], [scored("a", [-2.0])])
    assert better.value == pytest.approx(100 * (1 - math.exp(-1)))
    assert better.details["relative_percent"] == pytest.approx(-better.value)


def test_the_interval_of_noise_begins_at_zero():
    gpu = [scored(f"s{index}", -np.random.default_rng(index).exponential(2, size=50)) for index in range(30)]
    npu = [
        scored(each.sequence_id, each.logprobs + (-1) ** index * 0.01 + 0.0001)
        for index, each in enumerate(gpu)
    ]
    estimate = compare(npu, gpu)
    assert estimate.interval[0] == 0
    assert estimate.value <= estimate.interval[1] < 1
    low, high = estimate.details["relative_percent_interval"]
    assert low < 0 < high


def test_the_interval_of_a_shift_excludes_zero():
    rng = np.random.default_rng(0)
    gpu = [scored(f"s{index}", -rng.exponential(2, size=50)) for index in range(30)]
    npu = [scored(each.sequence_id, each.logprobs - 0.05 + rng.normal(scale=0.01, size=50)) for each in gpu]
    estimate = compare(npu, gpu)
    assert 4.5 < estimate.interval[0] <= estimate.value <= estimate.interval[1] < 5.8


def test_an_exploded_perplexity_stays_a_finite_finding():
    estimate = compare(
        [scored("a", [-9998.0] * 3), scored("b", [-9998.0, -2.0])],
        [scored("a", [-1.0] * 3), scored("b", [-1.0, -2.0])],
    )
    assert math.isfinite(estimate.value)
    assert estimate.value > 1e100
    json.dumps(estimate.details, allow_nan=False)


def test_the_baseline_is_judged_on_what_the_cpu_scored():
    gpu = measurement("gpu", [scored("a", [-2.0]), scored("b", [-50.0])])
    cpu = measurement("cpu", [scored("a", [-2.0])], left_out={"c": "too long"})
    estimate = baseline_perplexity(gpu=gpu, cpu=cpu)
    assert (estimate.value, estimate.n, estimate.unit) == (0, 1, "% of PPL(CPU)")
    assert estimate.details["left_out"] == {"c": "too long"}


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    with pytest.raises(InsufficientData, match="npu: 1 log-probabilities of a are none"):
        compare([scored("a", [-1.0, bad])], [scored("a", [-1.0, -1.0])])


def test_failed_sequences_are_refused():
    npu = measurement("npu", [scored("a", [-1.0])], failures=(failure("b", "status", "HTTP 500"),))
    with pytest.raises(InsufficientData, match="npu: 1 of 2 sequences failed; first b: status: HTTP 500"):
        perplexity_diff(npu=npu, gpu=measurement("gpu", [scored("a", [-1.0]), scored("b", [-1.0])]))


LOGPROBS = st.lists(st.floats(-20, 0), min_size=1, max_size=5)
SEQUENCES = st.lists(LOGPROBS, min_size=1, max_size=6)


@settings(max_examples=30)
@given(SEQUENCES, st.floats(-0.5, 0.5))
def test_a_uniform_shift_is_found_exactly_in_any_order(sequences, shift):
    gpu = [scored(f"s{index}", np.array(row) - 0.5) for index, row in enumerate(sequences)]
    npu = [scored(each.sequence_id, each.logprobs - shift) for each in gpu]
    estimate = compare(npu, gpu)
    assert estimate.value == pytest.approx(100 * abs(math.expm1(shift)), abs=1e-9)
    assert compare(npu[::-1], gpu[::-1]).value == pytest.approx(estimate.value, abs=1e-9)
    mirrored = compare(gpu, npu)
    assert mirrored.details["relative_percent"] == pytest.approx(100 * math.expm1(-shift), abs=1e-9)
