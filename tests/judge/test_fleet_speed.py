"""The node of a fleet that is slower or faster than the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import failure
from made_fleet import estimate, named, rounds
from made_load import level, request

from pytest_gptoss.judge.fleet_chance import pairs_scale
from pytest_gptoss.judge.fleet_speed import excesses
from pytest_gptoss.model.errors import InsufficientData


def fleet(*factors, seed=0, spread=0.01, **fields):
    """Nodes so many times slower in decoding, with spread between nodes."""
    random = np.random.default_rng(seed)
    return {
        f"n{place:02d}": rounds(
            f"n{place:02d}",
            tpot=20 * factor * np.exp(spread * random.standard_normal()),
            noise=random,
            **fields,
        )
        for place, factor in enumerate(factors)
    }


def test_equal_nodes_raise_no_alarm():
    nodes = {name: rounds(name) for name in ("a", "b", "c", "d")}
    for metric in ("fleet_ttft", "fleet_tpot"):
        assert named(metric, nodes) == set()
    found = estimate("fleet_tpot", nodes, "b")
    assert (found.value, found.unit, found.n) == (0.0, "share", 32)


@pytest.mark.parametrize("factors", [[1.25] + [1.0] * 2, [1.25] * 2 + [1.0] * 3, [1.25] * 3 + [1.0] * 4,
                                     [1.1] + [1.0] * 31])  # fmt: skip
def test_slow_nodes_are_named_and_no_other_is(factors):
    nodes = fleet(*factors)
    slow = {f"n{place:02d}" for place, each in enumerate(factors) if each > 1}
    assert named("fleet_tpot", nodes) == slow


def test_a_node_that_is_much_faster_is_odd_too():
    nodes = fleet(0.7, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert named("fleet_tpot", nodes) == {"n00"}
    found = estimate("fleet_tpot", nodes, "n00")
    assert found.details["slower"] is False
    assert "TPOT is 3" in found.details["finding"]
    assert "below the fleet's median" in found.details["finding"]


def test_the_finding_says_at_which_level():
    nodes = fleet(*[1.0] * 6)
    slow = rounds("n05", tpot=26)
    nodes["n05"] = {key: (slow if int(key[-1]) % 2 else nodes["n05"])[key] for key in slow}
    found = estimate("fleet_tpot", nodes, "n05")
    assert found.details["level"] == "busy"
    assert found.value == pytest.approx(0.3, abs=0.03)
    assert set(found.details["levels"]) == {"quiet", "busy"}
    assert "above the fleet's median with many requests in flight" in found.details["finding"]


def test_what_slows_one_round_alone_is_no_property_of_the_node():
    nodes = fleet(*[1.0] * 8)
    disturbed = rounds("n07", tpot=24)
    nodes["n07"] = {**nodes["n07"], "round_1": disturbed["round_1"]}
    assert named("fleet_tpot", nodes) == set()


def test_answers_too_short_for_a_tpot_are_left_out_and_too_few_are_told():
    nodes = fleet(*[1.0] * 3)
    short = {"n03": rounds("n03", tokens=5)}
    assert named("fleet_ttft", {**nodes, **short}) == set()
    with pytest.raises(InsufficientData, match="n03: 0 requests of its busy rounds tell a TPOT, and 4 are"):
        estimate("fleet_tpot", {**nodes, **short}, "n03")
    assert list(estimate("fleet_tpot", {**nodes, **short}, "n00").details["left_out"]) == ["n03"]


def test_failed_and_buffered_rounds_are_invalid():
    nodes = fleet(*[1.0] * 3)
    bad = rounds("n03")
    first = bad["round_0"].items[0].requests
    broken = level(*first[:-1], request("c-07", 1, error=failure("c-07", "stream", "the stream broke")))
    nodes["n03"] = {**bad, "round_0": type(bad["round_0"])("s", "n03", (broken,))}
    with pytest.raises(InsufficientData, match="n03: canary c-07 failed: the stream broke"):
        estimate("fleet_tpot", nodes, "n03")
    held = level(*[request(f"c-{n:02d}", 1, *[50 + step / 100 for step in range(10)]) for n in range(8)])
    nodes["n03"] = {**bad, "round_0": type(bad["round_0"])("s", "n03", (held,))}
    with pytest.raises(InsufficientData, match="token events came buffered in 8 of 8 requests"):
        estimate("fleet_ttft", nodes, "n03")
    assert named("fleet_tpot", {name: each for name, each in nodes.items() if name != "n03"}) == set()


def test_the_order_of_the_nodes_does_not_matter():
    nodes = fleet(1.3, *[1.0] * 6)
    turned = dict(reversed(nodes.items()))
    for name in nodes:
        one, other = (estimate("fleet_tpot", each, name) for each in (nodes, turned))
        assert (one.value, one.significant_from) == (other.value, other.significant_from)


def test_the_scale_is_that_of_normal_values_and_a_minority_may_be_anything():
    random = np.random.default_rng(0)
    for count in (3, 5, 8, 33):
        mean = np.mean([pairs_scale(random.standard_normal(count)) for _ in range(2000)])
        assert mean == pytest.approx(1.0, abs=0.15)
    assert pairs_scale(np.array([1.0, 1.0, 1.0, 50.0, 60.0])) == 0.0


@settings(max_examples=20)
@given(st.integers(3, 40), st.floats(0.0, 0.02), st.integers(0, 100))
def test_sound_nodes_are_never_named(count, spread, seed):
    random = np.random.default_rng(seed)
    nodes = {}
    for place in range(count):
        own = spread * random.standard_normal()
        nodes[f"n{place}"] = {
            round_: {at: float(np.exp(own + 0.02 * random.standard_normal())) for at in range(16)}
            for round_ in range(4)
        }
    for found in excesses(nodes, "tpot").values():
        for each in found:
            assert abs(each.log) <= max(0.05, each.significant_from)
