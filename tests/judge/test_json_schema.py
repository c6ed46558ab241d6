"""Our small part of JSON Schema agrees with the library that knows all of it."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.json_schema import violations

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where"},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "integer"},
        "heights": {"type": "array", "items": {"type": "number"}},
        "now": {"type": "boolean"},
    },
    "required": ["city"],
    "additionalProperties": False,
}
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2).filter(lambda x: x != int(x)),
    st.sampled_from(["C", "F", "Paris", ""]),
    st.lists(st.one_of(st.integers(-2, 2), st.text(max_size=2)), max_size=3),
)  # fmt: skip
VALUES = st.one_of(
    LEAVES,
    st.dictionaries(st.sampled_from(["city", "unit", "days", "heights", "now", "other"]), LEAVES, max_size=5),
)


@given(VALUES)
def test_it_agrees_with_jsonschema(value):
    assert (not list(violations(value, SCHEMA))) == jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_a_violation_is_named_with_its_place():
    assert list(violations({"days": 2}, SCHEMA)) == ["arguments lack 'city'"]
    assert list(violations({"city": "Rome", "heights": [1, "x"]}, SCHEMA)) == [
        "arguments.heights[1] is no number: 'x'"
    ]


def test_an_unknown_keyword_is_refused_not_overlooked():
    with pytest.raises(ValueError, match="'pattern' is not known"):
        list(violations("x", {"type": "string", "pattern": "y"}))
