"""A device against itself, alone and batched."""

import json

import pytest
from made import answer, measurement

from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metrics.noise import noise
from pytest_gptoss.model.errors import InsufficientData

FIRST = [answer("p1", (1, 2, 3)), answer("p2", (4, 5)), answer("p3", (6,))]


def floor(again, batched):
    return noise(
        first=measurement("npu", FIRST), again=measurement("npu", again), batched=measurement("npu", batched)
    )


def test_forks_of_either_run_are_placed():
    estimate = floor(FIRST[:2], [answer("p1", (1, 9, 3)), answer("p2", (4, 5, 6))])
    assert (estimate.value, estimate.n, estimate.interval) == (1.0, 2, wilson(2, 2))
    assert estimate.details["alone"]["forks"] == {}
    assert estimate.details["batched"] == {
        "n": 2,
        "equal": 0,
        "rate": 0.0,
        "interval": list(wilson(0, 2)),
        "matched_prefix": {"min": 1, "median": 1.5},
        "forks": {"p1": 1, "p2": 2},
    }
    assert estimate.details["finding"] == "npu repeats itself in 2 of 2 answers alone, 0 of 2 batched"
    json.dumps(estimate.details, allow_nan=False)


def test_the_first_run_must_hold_what_is_repeated():
    with pytest.raises(InsufficientData, match="not among those of npu; first p9"):
        floor([answer("p9", (1,)), answer("p1", (1,))], FIRST)


def test_withheld_ids_are_refused():
    with pytest.raises(InsufficientData, match="withholds the token ids"):
        floor([answer("p1", None)], FIRST)
