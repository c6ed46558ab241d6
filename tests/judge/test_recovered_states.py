"""Recovered states against served ones: which positions count, how sure the mean is, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from logits import answer, made
from made import hidden, measurement

from pytest_gptoss.judge.metrics.hidden import hidden_cosine
from pytest_gptoss.judge.verdicts import judge
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import RecoveredStates
from pytest_gptoss.model.verdicts import Estimate, Threshold
from pytest_gptoss.scenarios.hidden_recovery import recover

LENGTH = 9
POSITIONS = [made(seed, 3000, 64) for seed in range(LENGTH)]


def recovered(places, name="a", **answered):
    found = []
    for place in places:
        position = POSITIONS[place]
        ids, logprobs = answer(position, 400, **answered)
        found.append(recover(position.head[ids], logprobs, position.norm, position=place))
    states = np.array([each.state for each in found])
    return RecoveredStates(name, tuple(range(LENGTH)), states, tuple(each.fit for each in found))


def served(name="a"):
    return hidden(name, [each.state for each in POSITIONS])


def compare(npu, gpu):
    return hidden_cosine(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def test_recovered_states_are_those_that_were_served():
    estimate = compare([recovered((1, 4, 7))], [served()])
    assert estimate.value == pytest.approx(1, abs=1e-3)
    assert 0 < estimate.doubt < 1e-3
    assert estimate.details["positions"] == 3
    assert [each["way"] for each in estimate.details["sources"]] == ["logprobs", "pooling"]
    assert "npu recovered from 400 log-probabilities at each of 3 positions" in estimate.details["note"]
    assert "gpu from /pooling" in estimate.details["note"]


def test_the_mean_over_positions_is_judged_not_the_worst_sequence():
    good, bad = served("a"), served("b")
    states = bad.states.copy()
    states[4] = -states[4]
    estimate = compare(
        [recovered((1, 4)), recovered((1, 4), "b")], [good, replace(bad, states=states)]
    )  # three of four agree, one points the other way
    assert estimate.value == pytest.approx(0.5, abs=1e-2)
    assert estimate.details["worst"] == "b"
    assert estimate.details["sequences"]["b"]["mean"] == pytest.approx(0, abs=1e-2)


def test_only_positions_of_both_are_compared():
    estimate = compare([recovered((1, 4, 7))], [recovered((4, 7, 8))])
    assert estimate.details["positions"] == 2
    assert estimate.value == pytest.approx(1)


def test_sequences_that_one_side_did_not_sample_are_left_alone():
    assert compare([recovered((1,))], [served(), served("b")]).n == 1


def test_no_position_in_common_is_no_measurement():
    with pytest.raises(InsufficientData, match="no position that is the same"):
        compare([recovered((1,))], [recovered((2,))])


def test_other_tokens_are_refused():
    with pytest.raises(InsufficientData, match="were given different tokens"):
        compare([recovered((1,))], [replace(served(), token_ids=tuple(range(1, LENGTH + 1)))])


@pytest.mark.parametrize("side", ["npu", "gpu"])
def test_a_state_that_cannot_be_trusted_is_named(side):
    scaled, sound = [recovered((4,), temperature=0.5)], [recovered((4,))]
    said = f"{side}: the hidden state of a at position 4 was not recovered: mean"
    with pytest.raises(InsufficientData, match=said):
        compare(*((scaled, sound) if side == "npu" else (sound, scaled)))


THRESHOLD = Threshold(
    "precision.hidden_cosine", "precision", "hidden_cosine", "worst sequence mean", ">=", 0.99, "cosine",
    "contract", "guide",
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "status"),
    [(0.9905, "PASS"), (0.9895, "FAIL"), (0.99002, "INVALID"), (0.98999, "INVALID"), (0.99, "INVALID")],
)
def test_a_value_nearer_to_the_limit_than_its_doubt_is_not_judged(value, status):
    verdict = judge(THRESHOLD, "npu", Estimate(value, "cosine", 3, details={"way_out": "pool"}, doubt=4e-4))
    assert verdict.status == status
    if status == "INVALID":
        assert "is nearer to the limit of 0.99 than the 0.0004 that its measurement may be off: pool" in (
            verdict.reason
        )
