"""The node of a fleet whose log-probabilities are odd."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fleet import estimate, named, passages

from pytest_gptoss.judge.fleet_distances import LEAST_SPREAD, distances
from pytest_gptoss.model.errors import InsufficientData

TOKENS = 200
TRUE = -np.abs(np.random.default_rng(0).normal(1, 1, TOKENS))
BAD = TRUE - np.abs(np.random.default_rng(1).normal(0.5, 0.5, TOKENS))


def fleet(*rows):
    return {f"n{place:02d}": passages(f"n{place:02d}", row) for place, row in enumerate(rows)}


def rounded(seed, nats=0.01):
    return np.minimum(TRUE + np.random.default_rng(seed).normal(0, nats, TOKENS), -1e-6)


def test_bit_identical_nodes_raise_no_alarm():
    nodes = fleet(*[TRUE] * 8)
    assert named("fleet_logprobs", nodes) == set()
    found = estimate("fleet_logprobs", nodes, "n03")
    assert (found.value, found.n, found.unit) == (0.0, TOKENS, "spreads")
    assert found.details["spread"] == LEAST_SPREAD
    assert found.details["p"] == 1.0


def test_harmless_rounding_on_one_of_them_raises_none_either():
    assert named("fleet_logprobs", fleet(*[TRUE] * 7, rounded(5))) == set()
    assert named("fleet_logprobs", fleet(TRUE, TRUE, rounded(5))) == set()


@pytest.mark.parametrize(("sound", "faulty"), [(2, 1), (3, 2), (4, 3), (5, 1), (31, 1), (40, 24)])
def test_a_faulty_minority_that_agrees_with_itself_is_named_and_no_sound_node_is(sound, faulty):
    rows = [rounded(seed) for seed in range(sound)]
    nodes = fleet(*[BAD] * faulty, *rows)
    assert named("fleet_logprobs", nodes) == {f"n{place:02d}" for place in range(faulty)}


def test_of_three_nodes_the_two_good_ones_are_compared_with_each_other():
    nodes = fleet(TRUE, rounded(1), BAD)
    assert estimate("fleet_logprobs", nodes, "n00").details["medoid"] == "n01"
    assert estimate("fleet_logprobs", nodes, "n01").details["medoid"] == "n00"
    assert named("fleet_logprobs", nodes) == {"n02"}


def test_the_finding_says_how_far_from_whom():
    found = estimate("fleet_logprobs", fleet(TRUE, TRUE, TRUE, BAD), "n03")
    distance = float(np.abs(TRUE - BAD).mean())
    assert found.value == pytest.approx(distance / LEAST_SPREAD)
    assert found.details["distance"] == pytest.approx(distance)
    assert found.details["medoid"] == "n00"
    assert "nat from n00 in the mean over 200 tokens" in found.details["finding"]
    assert "in fewer than 1% of sound fleets" in found.details["finding"]


def test_the_order_of_the_nodes_does_not_matter():
    nodes = fleet(BAD, *[rounded(seed) for seed in range(5)])
    turned = dict(reversed(nodes.items()))
    for name in nodes:
        one, other = (estimate("fleet_logprobs", each, name) for each in (nodes, turned))
        assert (one.value, one.significant_from, one.details) == (
            other.value, other.significant_from, other.details,
        )  # fmt: skip


def test_a_node_without_log_probabilities_is_invalid_itself_and_left_out_for_the_others():
    nodes = fleet(*[rounded(seed) for seed in range(4)], BAD)
    dead = passages("dead", [float("nan")] * TOKENS)
    with pytest.raises(InsufficientData, match="200 log-probabilities of s0 are none"):
        estimate("fleet_logprobs", {**nodes, "dead": dead}, "dead")
    for name in nodes:
        alone = estimate("fleet_logprobs", nodes, name)
        beside = estimate("fleet_logprobs", {**nodes, "dead": dead}, name)
        assert (alone.value, alone.significant_from) == (beside.value, beside.significant_from)
        assert list(beside.details["left_out"]) == ["dead"]


def test_other_passages_are_not_compared():
    nodes = fleet(*[rounded(seed) for seed in range(3)])
    other = passages("n03", TRUE[:50])
    assert estimate("fleet_logprobs", {**nodes, "n03": other}, "n00").details["nodes"] == 3
    with pytest.raises(InsufficientData, match=r"n03 can be compared with 0 other nodes .* other passages"):
        estimate("fleet_logprobs", {**nodes, "n03": other}, "n03")


def test_too_few_others_say_so_with_the_first_reason():
    nodes = {**fleet(TRUE, TRUE), "dead": passages("dead", [float("nan")] * TOKENS)}
    with pytest.raises(
        InsufficientData, match=r"n00 can be compared with 1 other nodes.*2 are needed; first"
    ):
        estimate("fleet_logprobs", nodes, "n00")


@settings(max_examples=30)
@given(st.integers(3, 24), st.floats(0.0, 0.01), st.integers(0, 1000))
def test_sound_nodes_that_round_are_never_named(count, nats, seed):
    random = np.random.default_rng(seed)
    rows = {f"n{place}": (TRUE + random.normal(0, nats, TOKENS)).astype(np.float32) for place in range(count)}
    for found in distances(rows).values():
        assert found.spreads <= max(3.0, found.significant_from)
