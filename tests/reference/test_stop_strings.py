"""Stop strings over text that comes in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.reference.stop_strings import StopStrings


def run(pieces, strings, min_tokens=0, include=False):
    """What was shown piece by piece, and the stop string that ended it."""
    stop = StopStrings(strings, min_tokens=min_tokens, include=include)
    shown = []
    for index, piece in enumerate(pieces):
        found = stop.add(piece)
        shown.append(stop.show(all_of_it=found is not None or index == len(pieces) - 1))
        if found is not None:
            return shown, found
    return shown, None


@pytest.mark.parametrize(
    ("pieces", "strings", "options", "expected"),
    [
        (["a b", " c"], [], {}, (["a b", " c"], None)),
        (["one two", " three"], ["two"], {}, (["one "], "two")),
        (["one tw", "o three"], ["two"], {}, (["one ", ""], "two")),
        (["one tw", "o three"], ["two"], {"include": True}, (["one tw", "o"], "two")),
        (["one tw", "ice"], ["two"], {}, (["one ", "twice"], None)),
        (["two", " two"], ["two"], {"min_tokens": 1}, (["t", "wo "], "two")),
        (["t", "wo"], ["two"], {"min_tokens": 1}, (["", ""], "two")),
        (["abc"], ["c", "b"], {}, (["ab"], "c")),
    ],
)
def test_where_text_ends(pieces, strings, options, expected):
    assert run(pieces, strings, **options) == expected


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=3), min_size=1), st.text("ab", min_size=1, max_size=4))
def test_what_is_shown_is_the_text_before_the_stop_string(pieces, string):
    shown, found = run(pieces, [string])
    before, stop, _ = "".join(pieces).partition(string)
    assert "".join(shown) == before
    assert found == (stop or None)


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=3), min_size=1), st.text("ab", min_size=1, max_size=4))
def test_a_stop_string_is_never_shown_in_part(pieces, string):
    stop = StopStrings([string], min_tokens=0, include=False)
    seen = ""
    for piece in pieces:
        if stop.add(piece) is not None:
            break
        seen += stop.show(all_of_it=False)
    assert "".join(pieces).partition(string)[0].startswith(seen)
