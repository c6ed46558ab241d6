"""Drift grows only where the figures grow, and what could not be compared is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import failure, measurement

from pytest_gptoss.judge.metrics.drift import NOTICEABLE, position_drift
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import DriftPoint

SPOTS = tuple(2**power for power in range(4, 13))


def points(logprob, spots=SPOTS):
    """Four points a spot; ``logprob`` gives each from its spot and its number."""
    return [
        DriftPoint(spot, spot - 4 + number, 7, f"text-{spot - 4 + number}", logprob(spot, number))
        for spot in spots
        for number in range(4)
    ]


def drift(npu, gpu=lambda *_: -1.0, spots=SPOTS):
    return position_drift(
        npu_4096=measurement("npu", points(npu, spots)), gpu_4096=measurement("gpu", points(gpu, spots))
    )


def noise(spot, number):
    return -1.0 + 0.02 * np.sin(31 * spot + 7 * number)


def growing(step):
    """A distance of ``step`` nats more at each spot, a little unevenly, to either side by turns."""
    return lambda spot, number: -1.0 - step * (np.log2(spot) - 4 + 0.01 * (spot % 7)) * (-1) ** number


def test_a_slope_in_nats_a_doubling():
    result = drift(growing(0.1))
    assert result.value == pytest.approx(0.1, rel=0.01)
    assert (result.unit, result.n) == ("nat a doubling", 36)
    assert result.interval == pytest.approx((0.1, 0.1), rel=0.05)
    details = result.details
    assert details["grows"]
    assert (details["near"], details["far"]) == pytest.approx((0.15, 0.6), rel=0.03)
    assert [spot["tokens"] for spot in details["spots"]] == list(SPOTS)
    assert {spot["n"] for spot in details["spots"]} == {4}
    assert details["spots"][-1]["mean_abs"] == pytest.approx(0.8, rel=0.01)
    assert details["spots"][-1]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert details["reach"] == 4096
    assert details["points"][0] == {"position": 12, "token": 7, "npu": pytest.approx(-1.002), "gpu": -1.0}
    assert "0.15 nat up to 128 tokens, 0.6 beyond, up to 4096" in details["finding"]
    assert "YaRN" in details["finding"]


def test_noise_is_no_drift():
    result = drift(noise)
    low, high = result.interval
    assert low < 0 < high
    assert not result.details["grows"]
    assert result.details["finding"].endswith("no drift to speak of")


def test_the_same_figures_have_no_drift_and_no_interval():
    result = drift(lambda *_: -1.0)
    assert (result.value, result.interval) == (0.0, None)
    assert "no drift" in result.details["finding"]


def test_growth_below_notice_is_not_called_drift():
    result = drift(growing(NOTICEABLE / 20))
    assert result.interval[0] > 0
    assert not result.details["grows"]


def test_far_apart_at_every_length_is_not_a_matter_of_length():
    result = drift(lambda spot, number: noise(spot, number) - 3)
    assert not result.details["grows"]
    assert "not for certain more with length" in result.details["finding"]


def test_segments_are_one_sequence():
    def split(device, logprob):
        return {
            f"{device}_256": measurement(device, points(logprob, SPOTS[:5])),
            f"{device}_4096": measurement(device, points(logprob, SPOTS[5:])),
        }

    result = position_drift(**split("npu", noise), **split("gpu", lambda *_: -1.0))
    assert result == drift(noise)


def test_what_only_one_device_has_is_counted_not_compared():
    ours, theirs = points(noise), points(lambda *_: -1.0)
    result = position_drift(
        npu_4096=measurement("npu", ours[:-1], failures=(failure("token-4095"),)),
        gpu_4096=measurement(
            "gpu", theirs[:-4], left_out={f"token-{at}": "the context of 4000" for at in range(4)}
        ),
    )
    assert (result.n, result.details["reach"]) == (32, 2048)
    assert result.details["absent"] == "4 of 36 points are not compared: no token within 60 s"
    assert result.details["finding"].endswith(result.details["absent"])


def test_too_little_says_why():
    with pytest.raises(InsufficientData, match=r"1 lengths of text can be compared.*fit the context"):
        position_drift(
            npu_256=measurement("npu", points(noise)),
            gpu_256=measurement("gpu", points(noise)[:4], left_out={"token-28": "32 do not fit the context"}),
        )


def test_measuring_that_stopped_is_said():
    result = position_drift(
        npu_4096=measurement("npu", points(noise)),
        gpu_4096=measurement("gpu", points(noise)[:20], complete=False),
    )
    assert result.details["absent"] == "16 of 36 points are not compared: gpu: measuring stopped early"


def test_other_texts_are_not_compared():
    other = [DriftPoint(each.spot, each.position, 8, "other", each.logprob) for each in points(noise)]
    with pytest.raises(InsufficientData, match="npu and gpu were given different texts, seen at position 12"):
        position_drift(npu_4096=measurement("npu", points(noise)), gpu_4096=measurement("gpu", other))


@given(
    st.lists(
        st.tuples(st.floats(-20, 0), st.floats(-20, 0), st.floats(-20, 0), st.floats(-20, 0)),
        min_size=9,
        max_size=9,
    )
)
def test_every_figure_is_finite_and_the_slope_is_that_of_least_squares(rows):
    result = drift(lambda spot, number: rows[SPOTS.index(spot)][number])
    apart = [np.abs(np.array(row) + 1).mean() for row in rows]
    expected = np.polyfit(np.log2(SPOTS), apart, 1)[0]
    assert result.value == pytest.approx(expected, abs=1e-9)
    assert np.isfinite([result.value, result.details["near"], result.details["far"]]).all()
    if result.interval is not None:
        assert np.isfinite(result.interval).all()
