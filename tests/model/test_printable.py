"""Text from outside is shown as it is, or as its escape, and nothing in it acts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.model.printable import printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 中文, مرحبا, é", "plain text, 中文, مرحبا, é"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("half \ud800 pair", "half \\ud800 pair"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_what_does_not_show_is_escaped(text, shown):
    assert printable(text) == shown


def test_exceptions_are_kept():
    assert printable("two\nlines", keep="\n") == "two\nlines"


@given(st.text(st.characters(codec=None)))
def test_it_can_always_be_encoded_and_is_one_line(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown
    json.dumps(shown)


def test_long_texts_say_how_much_was_cut():
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 1003, 3) == "aaa... (+1,000)"
