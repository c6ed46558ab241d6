"""The node of a fleet that is set up otherwise."""

import pytest
from made_fleet import estimate, facts, named

from pytest_gptoss.model.errors import InsufficientData


def test_equal_nodes_differ_in_nothing():
    nodes = {name: facts(name) for name in "abc"}
    assert named("fleet_configuration", nodes) == set()
    found = estimate("fleet_configuration", nodes, "a")
    assert (found.value, found.n, found.unit) == (0, 4, "facts")
    assert "all 4 facts are those of most nodes" in found.details["finding"]


def test_the_one_that_differs_is_named_with_what_differs():
    nodes = {name: facts(name, known=[("dtype", "bfloat16")]) for name in "abc"}
    nodes["d"] = facts("d", version="0.12.0", max_model_len=131072, known=[("dtype", "float16")])
    assert named("fleet_configuration", nodes) == {"d"}
    found = estimate("fleet_configuration", nodes, "d")
    assert found.value == 3
    assert "version is 0.12.0, on most nodes 0.11.0" in found.details["finding"]
    assert {"fact": "dtype", "value": "float16", "majority": "bfloat16"} in found.details["differs"]


def test_what_most_nodes_do_not_tell_is_not_compared_nor_what_this_one_does_not_tell():
    nodes = {name: facts(name) for name in "abc"}
    nodes["c"] = facts("c", known=[("dtype", "float16")])
    assert named("fleet_configuration", nodes) == set()
    nodes = {name: facts(name, known=[("dtype", "bfloat16")]) for name in "abc"}
    nodes["c"] = facts("c")
    assert named("fleet_configuration", nodes) == set()
    assert estimate("fleet_configuration", nodes, "c").n == 4


def test_without_a_majority_nobody_differs_and_the_finding_says_so():
    nodes = {name: facts(name, version=f"0.{place // 2}") for place, name in enumerate("abcd")}
    assert named("fleet_configuration", nodes) == set()
    found = estimate("fleet_configuration", nodes, "a")
    assert found.details["undecided"] == ["version"]
    assert "no value of version is told by most nodes" in found.details["finding"]


def test_too_few_nodes_decide_nothing():
    nodes = {name: facts(name) for name in "ab"}
    with pytest.raises(
        InsufficientData, match="a can be compared with 1 other nodes of the fleet, and 2 are"
    ):
        estimate("fleet_configuration", nodes, "a")
