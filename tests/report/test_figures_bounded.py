"""However large or small a figure is, a table shows it in a bounded width, and never in a traceback."""

import re

import pytest
from documents import diagnosed, recorded, with_load
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.figures import LONGEST_NUMBER, exact, number
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.terminal import table

FIGURES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**400), 10**400))


@given(FIGURES, st.none() | FIGURES)
def test_a_number_is_bounded_in_width(value, limit):
    assert len(number(value, apart_from=limit)) <= LONGEST_NUMBER
    assert len(exact(value)) <= LONGEST_NUMBER


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_number_is_told_from_its_limit(value, limit):
    assert (number(value, apart_from=limit) == exact(limit)) <= (value == limit)


def _with(document, figure, place=""):
    """A document with one figure in the place of all its measured ones."""
    if isinstance(document, dict):
        return {key: _with(each, figure, f"{place}.{key}") for key, each in document.items()}
    if isinstance(document, list):
        return [_with(each, figure, place) for each in document]
    measured = place.startswith((".verdicts.", ".measurements.")) and isinstance(document, float)
    return figure if measured else document


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("figure", [1.2345678901234567e57, -1.7e308, 5e-324, 10**60, 123456789.12345678])
@pytest.mark.parametrize("name", ["passing", "failing"])
def test_no_report_shows_a_figure_of_many_digits(name, figure, language):
    document = _with(diagnosed(with_load(recorded(name))), figure)
    for text in (markdown(document, language), *(line.text for line in table(document))):
        longest = max(re.findall(r"[0-9.]{9,}", re.sub(r"\b[0-9a-f]{64}\b", "", text)), key=len, default="")
        assert len(longest) <= LONGEST_NUMBER, text[text.index(longest) - 200 :][:400]
