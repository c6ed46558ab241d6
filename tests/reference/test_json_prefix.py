"""Every beginning of a JSON text that keeps a schema is open, the whole is done, nothing else is either."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.reference.json_prefix import progress, unsupported

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["C", "Celsius"]},
        "days": {"type": "integer"},
        "heights": {"type": "array", "items": {"type": "number"}},
        "now": {"type": "boolean"},
        "nothing": {"type": "null"},
    },
    "required": ["city"],
}
VALUES = st.fixed_dictionaries(
    {"city": st.text(max_size=6)},
    optional={
        "unit": st.sampled_from(["C", "Celsius"]),
        "days": st.integers(-99, 99),
        "heights": st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=3),
        "now": st.booleans(),
        "nothing": st.none(),
    },
)


@given(VALUES, st.booleans(), st.booleans())
def test_beginnings_are_open_and_the_whole_is_done(value, ascii_only, compact):
    separators = (",", ":") if compact else (", ", ": ")
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    assert progress(text, SCHEMA) == "done"
    assert {progress(text[:end], SCHEMA) for end in range(len(text))} == {"open"}
    assert progress(text + " ", SCHEMA) == progress(text + "}", SCHEMA) == "wrong"


@given(VALUES, st.data())
def test_what_is_done_keeps_the_schema(value, data):
    """A text one slip away from a whole one is done only if it is whole itself."""
    text = json.dumps(value)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 2, len(text))))
    slip = data.draw(st.text(alphabet='{}[]":, cityunda0123C-.etrfalsn\\', max_size=2))
    slipped = text[:start] + slip + text[end:]
    if progress(slipped, SCHEMA) == "done":
        jsonschema.validate(json.loads(slipped), SCHEMA)


@pytest.mark.parametrize(
    "text",
    ['[', '{}', '{"town', '{"city": 3', '{"city": "a", "city"', '{"days": 1}', '{"city": "\n', '{"unit": "K',
     '{"days": 1.5', '{"days": 01', '{  "city', '{"city": "a"  ', '{"now": yes'],
)  # fmt: skip
def test_what_no_value_begins_with(text):
    assert progress(text, SCHEMA) == "wrong"


@pytest.mark.parametrize(
    ("schema", "found"),
    [(SCHEMA, None), ({"type": "string", "pattern": "x"}, "pattern"), ({"type": "date"}, "date"),
     ([], "no schema"),
     ({"type": "array", "items": {"type": "date"}}, "date"), ({}, "None")],
)  # fmt: skip
def test_what_is_not_known_is_named(schema, found):
    told = unsupported(schema)
    assert told is None if found is None else found in told
