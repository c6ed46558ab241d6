"""A condition is one object; what is forgotten about it is named here. Both profiles have the same rows."""

import ast
from pathlib import Path

import pytest

import pytest_gptoss
from pytest_gptoss.judge import conditions
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.fleet import FleetTask

FULL = Roles("tp8", "gpu", "cpu", trials=3, first="tp1", needle_lengths=(256,))
IN_FLEET = Roles("n1", "gpu", fleet=FleetTask(("n1", "n2", "n3")))
POOR = (Roles("npu"), Roles("npu", "gpu", prompt_ids_of="gpu"))


@pytest.mark.parametrize("name", conditions.condition_names())
def test_a_condition_lacks_nothing(name):
    condition = getattr(conditions, name)
    assert name in pytest_gptoss.__all__, f"{name} is no public name: pytest_gptoss/__init__.py lacks it"
    assert getattr(pytest_gptoss, name) is condition
    assert None in map(condition.absent, (FULL, IN_FLEET)), f"{name} is never met"
    said = [text for text in map(condition.absent, POOR) if text is not None]
    assert said, f"{name} is always met"
    assert all(text.strip() and "\n" not in text for text in said), f"{name} says nothing of what is absent"


def test_a_fleets_nodes_are_compared_with_each_other():
    fleet = Roles("n1", fleet=FleetTask(("n1", "n2", "n3")))
    assert "in the rows of the family fleet" in str(conditions.FIRST.absent(fleet))
    assert "in the rows of the family fleet" in str(conditions.PEER.absent(fleet))
    assert "--gpu-url" in str(conditions.GPU.absent(fleet))


def test_conditions_are_told_apart():
    names = [getattr(conditions, name).name for name in conditions.condition_names()]
    assert len(set(names)) == len(names)


def test_the_profiles_have_the_same_rows_but_for_needle_cells():
    """Their limits and the lengths of their needles differ."""
    tables = {name: set(load_profile(name).thresholds) for name in profile_names()}
    every = {row_id for table in tables.values() for row_id in table if not row_id.startswith("needle.")}
    lacking = {name: sorted(every - table) for name, table in tables.items() if every - table}
    assert lacking == {}


def test_public_names_are_known_to_type_checkers():
    """``__all__`` and what the module imports for type checkers are the same names."""
    tree = ast.parse(Path(pytest_gptoss.__file__).read_text("utf-8"))
    imported = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pytest_gptoss.")
        for name in node.names
    }
    assert imported ^ (set(pytest_gptoss.__all__) - {"__version__"}) == set()
