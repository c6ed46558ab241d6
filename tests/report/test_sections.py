"""A part of the report is one line in ``sections.PARTS``: Markdown and the page both show it."""

import pytest
from documents import diagnosed, recorded, with_load

from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.formats import html, markdown
from pytest_gptoss.report.sections import PARTS, SECTIONS, Part
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.wording import Wording, catalogue


def _new(section):
    """A part that nothing else knows of."""
    table = Table(f"new_{section}", f"New in {section}", ("head",), ((Cell(f"cell of {section}"),),))
    return Part(section, lambda document, say: [table], lambda document, say: [f"remark of {section}"])


def test_a_new_part_of_any_section_is_in_both_reports(monkeypatch):
    for module in (html, markdown):
        monkeypatch.setattr(module, "PARTS", (*PARTS, *map(_new, SECTIONS)))
    document = recorded("passing")
    text, page = markdown.markdown(document), html.html(document)
    for section in SECTIONS:
        for words in (f"New in {section}", f"cell of {section}", f"remark of {section}"):
            assert words in page.partition(f'<section id="{section}"')[2].partition("</section>")[0]
            assert words in text


def test_every_section_has_a_heading_in_every_language():
    assert {part.section for part in PARTS} == set(SECTIONS)
    for key in [f"section.{section}" for section in SECTIONS] + [part.title for part in PARTS if part.title]:
        assert set(catalogue()[key]) == set(LANGUAGES)


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_every_table_is_named_once_and_has_a_caption(name):
    document, say = diagnosed(with_load(recorded(name))), Wording("en")
    tables = [table for part in PARTS for table in part.tables(document, say)]
    names = [table.name for table in tables if table.name != "performance"]
    assert len(set(names)) == len(names)
    assert all(table.caption and table.head for table in tables)
