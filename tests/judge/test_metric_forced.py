"""Teacher-forced metrics by hand: agreement at clear positions, mean divergence."""

import json
import math

import pytest
from made import measurement, scored, top

from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metrics.divergence import divergence
from pytest_gptoss.judge.metrics.forced import baseline_kl, forced_agreement, kl
from pytest_gptoss.model.errors import InsufficientData

CLEAR, CLOSE = {1: -0.1, 2: -3.0}, {1: -0.75, 2: -1.0}
OTHER = {2: -0.1, 1: -3.0}


def scores(sequence_id, *tops):
    return scored(sequence_id, [-1.0] * len(tops), tops=list(tops))


def apart(reference, tested):
    (value,) = divergence(top(reference), top(tested))
    return value


def agreement(npu, gpu):
    return forced_agreement(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def mean_kl(npu, gpu):
    return kl(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def test_only_clear_positions_are_gated():
    estimate = agreement(
        [scores("a", OTHER, OTHER, CLEAR), scores("b", CLEAR, CLEAR)],
        [scores("a", CLEAR, CLOSE, CLEAR), scores("b", CLEAR, CLEAR)],
    )
    assert (estimate.value, estimate.n) == (3 / 4, 2)
    details = estimate.details
    assert (details["clear_positions"], details["positions"]) == (4, 5)
    assert details["disagreements"] == [
        {
            "sequence_id": "a",
            "position": 3,
            "npu_token": 2,
            "gpu_token": 1,
            "margin": pytest.approx(2.9),
        }
    ]
    assert details["finding"] == "1 of 4 clear positions disagree, first a at position 3, margin 2.90 nat"
    json.dumps(details, allow_nan=False)


def test_a_margin_of_half_a_nat_is_not_clear():
    at_edge = {1: -0.5, 2: -1.0}
    with pytest.raises(InsufficientData, match=r"gpu: at none of its 1 positions .* more than 0.5 nat"):
        agreement([scores("a", at_edge)], [scores("a", at_edge)])


def test_tables_hold_every_position_once():
    gpu = [scores("a", *[CLEAR] * 20), scores("b", CLOSE, CLEAR)]
    npu = [scores("a", *[CLEAR] * 19, OTHER), scores("b", OTHER, CLEAR)]
    details = agreement(npu, gpu).details
    assert details["by_position"] == [
        {"from": 0, "to": 16, "positions": 18, "agreement": pytest.approx(17 / 18)},
        {"from": 16, "to": 32, "positions": 4, "agreement": 0.75},
    ]
    assert details["by_margin"] == [
        {"from": 0.1, "to": 0.5, "positions": 1, "agreement": 0.0},
        {"from": 2.0, "to": 4.0, "positions": 21, "agreement": pytest.approx(20 / 21)},
    ]


def test_sequences_without_clear_positions_are_no_units():
    gpu = [scores("a", CLEAR), scores("b", CLOSE), scores("c", CLEAR)]
    estimate = agreement([scores("a", OTHER), *gpu[1:]], gpu)
    assert (estimate.value, estimate.n) == (0.5, 2)
    assert estimate.interval == (0.0, 1.0)


def test_a_perfect_score_on_little_is_less_sure_than_on_much():
    few = [scores(name, *[CLEAR] * 10) for name in "ab"]
    many = [scores(str(name), *[CLEAR] * 200) for name in range(60)]
    (low, high), (lower_of_many, _) = agreement(few, few).interval, agreement(many, many).interval
    assert (low, high) == wilson(20, 20)
    assert low < 0.999 < lower_of_many


@pytest.mark.parametrize("metric", [forced_agreement, kl])
@pytest.mark.parametrize("side", ["npu", "gpu"])
def test_lists_that_are_too_short_name_the_way_out(metric, side):
    sides = {"npu": [scores("a", CLEAR)], "gpu": [scores("a", CLEAR)], side: [scores("a", {1: -0.1})]}
    with pytest.raises(InsufficientData, match=f"{side}: a lacks the likeliest tokens .*--max-logprobs 20"):
        metric(**{name: measurement(name, items) for name, items in sides.items()})


def test_lists_with_nan_are_refused():
    broken = scores("a", {1: math.nan, 2: -3.0})
    with pytest.raises(InsufficientData, match="npu: a lists log-probabilities that are not finite"):
        mean_kl([broken], [scores("a", CLEAR)])


def test_mean_kl_weighs_positions_and_names_the_worst_sequence():
    gpu = [scores("a", CLEAR, CLEAR, CLEAR), scores("b", CLEAR)]
    npu = [gpu[0], scores("b", OTHER)]
    estimate = mean_kl(npu, gpu)
    worst = apart(CLEAR, OTHER)
    assert estimate.value == pytest.approx(worst / 4)
    assert (estimate.unit, estimate.n) == ("nat", 2)
    assert estimate.details["worst"] == {"sequence_id": "b", "mean": pytest.approx(worst)}
    assert sum(row["positions"] for row in estimate.details["by_position"]) == 4
    assert mean_kl(npu[::-1], gpu[::-1]).value == pytest.approx(estimate.value)
    json.dumps(estimate.details, allow_nan=False)


def test_the_reference_comes_first():
    sure, unsure = {1: -0.01, 2: -9.0}, {1: -0.7, 2: -0.8}
    forward = mean_kl([scores("a", unsure)], [scores("a", sure)])
    assert forward.value == pytest.approx(apart(sure, unsure))
    assert forward.value != pytest.approx(apart(unsure, sure), rel=0.1)


def test_the_baseline_is_judged_on_what_the_cpu_scored():
    gpu = measurement("gpu", [scores("a", CLEAR), scores("b", OTHER)])
    cpu = measurement("cpu", [scores("a", CLEAR)])
    estimate = baseline_kl(gpu=gpu, cpu=cpu)
    assert (estimate.value, estimate.n) == (pytest.approx(0, abs=1e-12), 1)
