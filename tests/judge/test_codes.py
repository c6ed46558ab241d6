"""A code is a number of its own, however its digits are grouped, and never a part of another."""

import pytest

from pytest_gptoss.judge.codes import names_code


@pytest.mark.parametrize(
    "text",
    [
        "7842",
        "It is **7842**.",
        "密码是7842。",
        "code=7842, that is all",
        "17842, no: 7842",
        "(7842)",
        "密码是７８４２。",
        "1234, then 7842",
    ],
)
def test_a_number_of_its_own_is_named(text):
    assert names_code(text, "7842")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The secret code is 7,842.", "7842"),
        ("It is **7,842**, as the text says.", "7842"),
        ("密码是7，842。", "7842"),
        ("密码是７，８４２。", "7842"),
        ("Le code est 7 842.", "7842"),
        ("Le code est 7\u202f842.", "7842"),
        ("Le code est 7\u00a0842.", "7842"),
        ("Le code est 7\u2009842.", "7842"),
        ("Der Code ist 7'842.", "7842"),
        ("Der Code ist 7’842.", "7842"),
        ("code = 7_842", "7842"),
        ("In 2024, 7,842 was chosen.", "7842"),
        ("In 2024 7 842 was chosen.", "7842"),
        ("either 7,842 or 99", "7842"),
        ("It is 123,456.", "123456"),
        ("It is 1,234,567.", "1234567"),
        ("Es ist 1.234.567.", "1234567"),
        ("It is 1234567.", "1,234,567"),
        ("It is 7,842.", "7,842"),
        ("It is 7 842.", "7,842"),
    ],
)
def test_digits_in_groups_are_the_same_number(text, code):
    assert names_code(text, code)


@pytest.mark.parametrize(
    "text",
    [
        "17842",
        "78421",
        "7842.5",
        "1.7842",
        "17,7842",
        "a7842",
        "7842b",
        "１7842",
        "",
        "784",
        "17,842",
        "7,8420",
        "78,42",
        "7,842,000",
        "1,007,842",
        "7,842.5",
        "7.842",
        "7, 842",
        "7,  842",
        "7 842 000",
        "1 007 842",
        "7-842",
        "7 8 4 2",
        "7,84 2",
        "7 843",
        "0,7842",
        "a7,842",
        "7,842b",
    ],
)
def test_a_part_of_another_number_is_not_named(text):
    assert not names_code(text, "7842")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("It is 7,842.", "842"),
        ("It is 7'842.", "842"),
        ("It is 7_842.", "842"),
        ("It is 9 123 456.", "123456"),
        ("It is 1,234 567.", "1234567"),
        ("It is 0,842.", "0842"),
        ("It is 7,842.", "AB7842"),
        ("It is 123.456.", "123456"),
    ],
)
def test_groups_are_not_read_loosely(text, code):
    assert not names_code(text, code)


def test_a_code_is_no_pattern():
    assert not names_code("axb", "a.b")
    assert names_code("it is a.b!", "a.b")
