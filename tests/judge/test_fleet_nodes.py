"""What the nodes of a fleet told is read once, for the rows of all of them."""

import pytest
from made_fleet import facts

from pytest_gptoss.judge import fleet_nodes
from pytest_gptoss.judge.fleet_nodes import nodes_of
from pytest_gptoss.model.errors import InsufficientData


@pytest.fixture
def fleet():
    return {name: facts(name) for name in "abcd"}


def every_row(fleet, read):
    """What each node's row is given: its own, and the others' by their names."""
    return [
        nodes_of(fleet[name], {other: told for other, told in fleet.items() if other != name}, read)
        for name in fleet
    ]


def test_each_node_is_read_once_and_each_time_anew_for_another_reader(fleet):
    asked = []

    def read(node):
        asked.append(node["facts"].device)
        return object()

    first, *others = every_row(fleet, read)
    assert sorted(asked) == list("abcd")
    assert all(each.told == first.told for each in others)
    assert (
        nodes_of(facts("a"), {name: fleet[name] for name in "bc"}, read).told["a"] not in first.told.values()
    )
    every_row(fleet, lambda node: asked.append("other"))
    assert asked.count("other") == 4


def test_a_trouble_is_remembered_as_the_subjects_own_and_as_why_it_is_left_out(fleet):
    def read(node):
        if node["facts"].device == "d":
            raise InsufficientData("no facts")
        return node

    for _ in range(2):
        found = nodes_of(fleet["a"], {name: fleet[name] for name in "bcd"}, read)
        assert dict(found.left_out) == {"d": "no facts"}
        with pytest.raises(InsufficientData, match="no facts"):
            nodes_of(fleet["d"], {name: fleet[name] for name in "abc"}, read)


def test_what_is_remembered_is_bounded(fleet, monkeypatch):
    monkeypatch.setattr(fleet_nodes, "_MOST_KNOWN", 3)
    monkeypatch.setattr(fleet_nodes, "_KNOWN", {})
    assert len(every_row(fleet, lambda node: node)[-1].told) == 4
    assert len(fleet_nodes._KNOWN) == 3
