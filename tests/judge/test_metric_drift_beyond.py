"""What is farther apart beyond the split than up to it, is judged; what cannot be compared says why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import measurement

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.metrics.drift_beyond import LEAST, drift_beyond
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import DriftPoint
from pytest_gptoss.scenarios.drift import PER_SPOT, positions
from pytest_gptoss.scenarios.kinds import Drift

LENGTHS = (256, 512, 1024, 2048, 4096)


def points(logprob, length=4096):
    return [
        DriftPoint(spot, position, 7, f"text-{position}", logprob(spot, position))
        for spot, position in positions(Drift("npu", 0, length))
    ]


def judged(npu, gpu=lambda *_: -1.0, *, split=1024, length=4096, **fields):
    return drift_beyond(
        split=split,
        npu_4096=measurement("npu", points(npu, length), **fields),
        gpu_4096=measurement("gpu", points(gpu)),
    )


def rounding(spot, position):
    """A sound device's noise: about 0.02 nat at every length."""
    return -1.0 + 0.03 * np.sin(31 * spot + 7 * position)


def test_what_parts_beyond_the_split_is_the_figure():
    def wrong(spot, position):
        return rounding(spot, position) - 0.5 * (spot > 1024)

    result = judged(wrong)
    assert result.value == pytest.approx(0.48, abs=0.03)
    low, high = result.interval
    assert 0.1 < low < result.value < high
    assert (result.unit, result.n) == ("nat", 8 * PER_SPOT)
    details = result.details
    assert (details["beyond_n"], details["up_to_n"], details["split"]) == (2 * PER_SPOT, 6 * PER_SPOT, 1024)
    assert details["beyond"] - details["up_to"] == pytest.approx(result.value)
    assert details["finding"].startswith("npu from gpu: 0.5 nat beyond 1024 tokens, 0.019 up to them")


def test_a_spot_at_the_split_is_not_beyond_it():
    result = judged(lambda spot, _: -1.0 - 0.5 * (spot == 1024))
    assert result.value == pytest.approx(-0.5 / 6)


def test_far_apart_at_every_length_is_another_row_s_matter():
    assert abs(judged(lambda spot, position: rounding(spot, position) - 3).value) < 0.02


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.1))
def test_a_sound_device_keeps_the_limit(seed, size):
    """Rounding has no preferred length: with a mean of 0.1 nat everywhere it stays below 0.1 nat."""
    noise = np.random.default_rng(seed).normal(0, size, 4097)
    assert judged(lambda _, position: float(noise[position]) - 1).value <= 0.1


def test_too_few_positions_say_why_and_how():
    left_out = {"token-2047": "2048 tokens do not fit the context of 1536"}
    with pytest.raises(InsufficientData) as told:
        judged(rounding, length=1024, left_out=left_out)
    assert str(told.value) == (
        "96 positions up to 1024 tokens and 0 beyond can be compared, 16 of each are the least (32 of 128 "
        "points are not compared: 2048 tokens do not fit the context of 1536): serve with --max-model-len"
        " 2048 or more, and allow it with --gptoss-max-context-len"
    )


def test_one_spot_is_enough_and_the_least():
    assert LEAST == PER_SPOT
    assert judged(rounding, length=2048).details["beyond_n"] == LEAST
    with pytest.raises(InsufficientData, match="0 beyond"):
        judged(rounding, split=4096)


def test_other_texts_are_not_compared():
    other = [DriftPoint(each.spot, each.position, 8, "other", -1.0) for each in points(rounding)]
    with pytest.raises(InsufficientData, match="different texts"):
        drift_beyond(
            split=1024, npu_4096=measurement("npu", points(rounding)), gpu_4096=measurement("gpu", other)
        )


@pytest.mark.parametrize(("profile", "split"), [("embedded", 1024), ("atlas-800-a2", 4096)])
def test_the_row_shares_the_measurement_that_is_printed(profile, split):
    row = load_profile(profile).thresholds["stress.position_drift"]
    metric = metric_named(row.metric)
    roles = Roles("npu", "gpu", needle_lengths=LENGTHS if split == 1024 else (1024, 32_768))
    longest = "4k" if split == 1024 else "32k"
    assert metric.needs(roles) == metric_named(f"position_drift.{longest}").needs(roles)
    assert metric.compute.keywords == {"split": split}
    assert metric.condition is GPU


def test_a_table_without_needles_still_has_text_beyond_the_split():
    needs = metric_named("drift_beyond_4k").needs(Roles("npu", "gpu"))
    assert {scenario.length for scenario in needs.values()} == {8192}
