"""What breaks a schema is named with its place, in the words of the capability rows."""

import pytest

from pytest_gptoss.judge.json_schema import violations

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where", "pattern": "^[A-Z]"},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "integer"},
        "heights": {"type": "array", "items": {"type": "number"}},
        "now": {"type": "boolean"},
    },
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"city": "Rome", "unit": "C", "days": 2, "heights": [1, 2.5], "now": True}, []),
        ({"days": 2}, ["arguments lack 'city'"]),
        ({"city": "Rome", "heights": [1, "x"]}, ["arguments.heights[1] is no number: 'x'"]),
        ({"city": "Rome", "unit": "K"}, ["arguments.unit is 'K', not one of ['C', 'F']"]),
        ({"city": "Rome", "days": True}, ["arguments.days is no integer: True"]),
        ({"city": "Rome", "town": 1}, ["arguments hold 'town', which the schema does not know"]),
        (["Rome"], ["arguments is no object: ['Rome']"]),
        ({"city": "rome"}, ["arguments.city: 'rome' does not match '^[A-Z]'"]),
        ({"now": 1}, ["arguments lack 'city'", "arguments.now is no boolean: 1"]),
    ],
)
def test_each_violation_is_named_with_its_place(arguments, lines):
    assert violations(arguments, SCHEMA) == lines
