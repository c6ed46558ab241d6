"""The error ratio: by hand, as properties, and by simulation of sound and damaged pairs."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import failure, measurement, scored

from pytest_gptoss.judge.log_ratio import log_ratio_interval
from pytest_gptoss.judge.metrics.error_ratio import EXACT_NAT, WINDOW, error_ratio
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

BASE = -50.0
errors = st.lists(st.lists(st.floats(1e-3, 0.5), min_size=3, max_size=3), min_size=2, max_size=6)


def sequences(rows, *, first=3):
    return [scored(f"s{index}", BASE + np.asarray(row), first=first) for index, row in enumerate(rows)]


def reference(dtype="float32", source="/server_info"):
    known = () if dtype is None else (KnownFact("dtype", dtype, source),)
    facts = ServerFacts(run="r", addresses=(), waited_s=0.0, listed=("m",), model="m", known=known)
    return measurement("cpu", [facts])


def ratio(npu, gpu, cpu=None, *, facts=None, stated=None):
    exact = [[0.0] * len(row) for row in gpu] if cpu is None else cpu
    return error_ratio(
        npu=measurement("npu", sequences(npu)),
        gpu=measurement("gpu", sequences(gpu)),
        cpu=measurement("cpu", sequences(exact)),
        reference=facts or reference(),
        stated=stated or {},
    )


def test_mean_errors_over_all_positions_are_compared():
    estimate = ratio([[0.1, -0.2], [0.3, 0.0]], [[0.1, 0.1], [-0.1, 0.1]])
    assert estimate.value == pytest.approx(0.6 / 0.4)
    assert (estimate.unit, estimate.n) == ("times", 2)
    details = estimate.details
    assert details["positions"] == 4
    assert details["mean"] == {"npu": pytest.approx(0.15), "gpu": pytest.approx(0.1)}
    assert details["rmse_ratio"] == pytest.approx(math.sqrt(0.14 / 4) / 0.1)
    assert details["largest_ratio"] == pytest.approx(3.0)
    assert details["sequences"] == {"s0": pytest.approx(1.5), "s1": pytest.approx(1.5)}
    json.dumps(details, allow_nan=False)


def test_the_report_says_where_the_excess_lies():
    rows = [[0.1] * 6] * 2
    npu = [[0.1, 0.1, 0.1, 0.3, 0.3, 0.3]] * 2
    first = WINDOW - 3
    measured = {
        name: measurement(name, [dataclasses.replace(each, token_ids=ids) for each in made])
        for name, made in (
            ("npu", sequences(npu, first=first)),
            ("gpu", sequences(rows, first=first)),
            ("cpu", sequences([[0.0] * 6] * 2, first=first)),
        )
        for ids in [(*range(1000, 1000 + first), 7, 7, 7, 1, 2, 3)]
    }
    found = error_ratio(**measured, reference=reference(), stated={})
    assert {each["part"]: (each["positions"], each["ratio"]) for each in found.details["where"]} == {
        "positions up to 128": (6, pytest.approx(1.0)),
        "positions beyond 128": (6, pytest.approx(3.0)),
        "common tokens": (6, pytest.approx(1.0)),
        "rare tokens": (6, pytest.approx(3.0)),
    }
    assert "largest ratio 3 at positions beyond 128" in found.details["finding"]


@given(errors)
def test_a_device_compared_with_itself_gives_one(rows):
    estimate = ratio(rows, rows)
    assert estimate.value == pytest.approx(1.0)
    assert estimate.interval == pytest.approx((1.0, 1.0))


# Errors that are alike to a tenth at every position are the reference's own, and refused.
@given(errors, st.floats(0.1, 0.85) | st.floats(1.15, 20.0))
def test_errors_of_k_times_the_size_give_k(rows, k):
    estimate = ratio([[k * each for each in row] for row in rows], rows)
    assert estimate.value == pytest.approx(k, rel=1e-6)
    assert estimate.interval == pytest.approx((k, k), rel=1e-6)


@given(errors, errors, st.randoms())
def test_the_order_of_sequences_does_not_matter(ours, theirs, random):
    n = min(len(ours), len(theirs))
    pairs = list(zip(ours[:n], theirs[:n], strict=True))
    before = log_ratio_interval([sum(a) for a, _ in pairs], [sum(b) for _, b in pairs])
    random.shuffle(pairs)
    after = log_ratio_interval([sum(a) for a, _ in pairs], [sum(b) for _, b in pairs])
    assert after == pytest.approx(before, rel=1e-9)


def test_one_sequence_has_no_interval():
    assert ratio([[0.1, 0.2]], [[0.1, 0.1]]).interval is None
    assert log_ratio_interval([1.0, 0.0], [1.0, 1.0]) is None
    assert log_ratio_interval([0.0, 0.0], [1.0, 1.0]) == (0.0, 0.0)
    assert log_ratio_interval([0.0], [1.0]) is None


def heavy_tailed(rng, lengths, factors):
    """Sums of errors, one column a factor: what is hard for one device is hard for the other too."""
    rows, largest, total, count = [], 0.0, 0.0, 0
    for length in lengths:
        hard = np.exp(rng.normal(0, 0.3) + rng.normal(0, 1.15, size=length))
        drawn = np.abs(hard[:, np.newaxis] * rng.normal(size=(length, len(factors)))) * factors
        rows.append(drawn.sum(axis=0))
        largest, total, count = max(largest, drawn[:, -1].max()), total + drawn[:, -1].sum(), count + length
    return np.array(rows), largest / (total / count)


def test_the_interval_covers_a_known_ratio_as_often_as_it_says():
    """24 sequences, the largest error some 45 times the mean: as measured on a real model."""
    rng = np.random.default_rng(11)
    covered, tails = 0, []
    for _ in range(1000):
        rows, tail = heavy_tailed(rng, rng.integers(40, 160, size=24), np.array([1.3, 1.0]))
        low, high = log_ratio_interval(rows[:, 0], rows[:, 1])
        covered += low <= 1.3 <= high
        tails.append(tail)
    assert 30 < np.median(tails) < 60
    three_sigma = 3 * math.sqrt(1000 * 0.95 * 0.05)
    assert abs(covered - 950) <= three_sigma


@pytest.mark.parametrize(
    ("factor", "least", "most"),
    [
        pytest.param(1.01, 0, 2, id="noise 0.001"),
        pytest.param(1.15, 0, 2, id="noise 0.003"),
        pytest.param(2.3, 190, 200, id="noise 0.01"),
        pytest.param(4.3, 190, 200, id="6 bits"),
    ],
)
def test_sound_pairs_stay_within_the_limit_and_damaged_ones_do_not(factor, least, most):
    """The factors are those measured on a real model against bf16's own error; the limit is 1.5."""
    rng = np.random.default_rng(5)
    beyond = 0
    for _ in range(200):
        rows, _ = heavy_tailed(rng, rng.integers(40, 160, size=24), np.array([factor, 1.0]))
        beyond += rows[:, 0].sum() / rows[:, 1].sum() > 1.5
    assert least <= beyond <= most


def test_a_baseline_as_exact_as_the_reference_skips_the_row():
    tiny = EXACT_NAT / 2
    with pytest.raises(ConditionAbsent, match="no rounding to compare with"):
        ratio([[tiny, -tiny]] * 2, [[tiny, -tiny]] * 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.bfloat16", "half"])
def test_a_rounded_reference_is_refused_by_its_type(dtype):
    with pytest.raises(InsufficientData, match=r"cpu computes in .*--dtype float32"):
        ratio([[0.1, 0.2]] * 2, [[0.1, 0.1]] * 2, facts=reference(dtype))


def test_the_type_may_be_stated_and_may_not_stay_unknown():
    rows = [[0.1, 0.2]] * 2
    assert ratio(rows, rows, facts=reference("torch.float32")).value == 1
    for said in ("float32", "FP32"):
        assert ratio(rows, rows, facts=reference(None), stated={"cpu": {"dtype": said}}).value == 1
    for facts in (reference(None), reference("auto")):
        with pytest.raises(InsufficientData, match=r"--gptoss-info cpu\.dtype=float32"):
            ratio(rows, rows, facts=facts)
    with pytest.raises(InsufficientData, match=r"cpu computes in bfloat16 \(--gptoss-info\)"):
        ratio(rows, rows, facts=reference(None), stated={"cpu": {"dtype": "bfloat16"}})


def test_a_reference_that_is_the_odd_one_out_is_refused():
    with pytest.raises(InsufficientData, match="less exact than what it shall judge"):
        ratio([[0.1, 0.101]] * 2, [[0.1001, 0.1]] * 2)


def test_each_device_may_have_its_sequences_in_an_order_of_its_own():
    npu, gpu = [[0.3], [0.1, 0.2], [0.2] * 3], [[0.1], [0.1, 0.1], [0.1] * 3]
    cpu = [[0.0], [0.0, 0.0], [0.0] * 3]
    estimate = error_ratio(
        npu=measurement("npu", sequences(npu)),
        gpu=measurement("gpu", sequences(gpu)[::-1]),
        cpu=measurement("cpu", [sequences(cpu)[index] for index in (1, 2, 0)]),
        reference=reference(),
        stated={},
    )
    assert estimate.value == pytest.approx(1.2 / 0.6)
    assert estimate.details["sequences"]["s0"] == pytest.approx(3.0)


def test_only_what_the_cpu_scored_is_compared():
    gpu, npu = [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]], [[0.2, 0.2], [0.2, 0.2], [9.0, 9.0]]
    estimate = ratio(npu, gpu, [[0.0, 0.0], [0.0, 0.0]])
    assert (estimate.value, estimate.n) == (pytest.approx(2.0), 2)


@pytest.mark.parametrize("side", ["npu", "gpu", "cpu"])
def test_what_is_no_measurement_is_refused_and_names_the_device(side):
    sides = {name: sequences([[0.1, 0.2], [0.1, 0.3]]) for name in ("npu", "gpu", "cpu")}
    sides[side][1] = scored("s1", [BASE, math.nan])
    with pytest.raises(InsufficientData, match=f"{side}: 1 log-probabilities of s1 are none"):
        error_ratio(
            **{name: measurement(name, items) for name, items in sides.items()},
            reference=reference(),
            stated={},
        )


def test_unequal_lengths_and_missing_sequences_are_refused():
    whole = sequences([[0.1, 0.2], [0.1, 0.3]])
    short = [whole[0], scored("s1", [BASE])]
    sides = {"npu": measurement("npu", short), "gpu": measurement("gpu", whole)}
    with pytest.raises(InsufficientData, match="s1: npu and gpu were given different tokens"):
        error_ratio(**sides, cpu=measurement("cpu", whole), reference=reference(), stated={})
    sides = {"npu": measurement("npu", whole[:1]), "gpu": measurement("gpu", whole)}
    with pytest.raises(InsufficientData, match="1 sequences of gpu are not among those of npu"):
        error_ratio(**sides, cpu=measurement("cpu", whole), reference=reference(), stated={})


def test_a_cpu_that_failed_says_so():
    whole = sequences([[0.1, 0.2], [0.1, 0.3]])
    cpu = measurement("cpu", whole[:1], failures=(failure("s1"),))
    with pytest.raises(InsufficientData, match="cpu: 1 of 2 sequences failed"):
        error_ratio(
            npu=measurement("npu", whole),
            gpu=measurement("gpu", whole),
            cpu=cpu,
            reference=reference(),
            stated={},
        )
