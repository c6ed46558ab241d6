"""Capacity in the reports: the table of probes, and TTFT and goodput drawn against the rate."""

import pytest
from documents import recorded, with_capacity

from pytest_gptoss.report.charts.capacity import capacity_charts
from pytest_gptoss.report.charts.chart import chart_table
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.tables.capacity import capacity_table
from pytest_gptoss.report.wording import Wording


@pytest.fixture
def document():
    return with_capacity(recorded("passing"))


def test_the_probes_are_a_table_by_rate(document):
    npu = document["verdicts"][-1]["npu"]
    table = capacity_table(document, npu, Wording("en"))
    assert [row[0].text for row in table.rows] == ["8", "12", "16"]
    assert [row[2].text for row in table.rows] == ["100.0%", "97.0%", "0.0%"]
    assert table.rows[2][4].text == "-"
    assert capacity_table(document, "another", Wording("en")).rows == ()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_ttft_and_goodput_are_drawn_against_the_rate(document, language):
    ttft, goodput = capacity_charts(document, Wording(language))
    assert [each.x for each in ttft.series] == [(8.0, 12.0), (8.0, 12.0)]
    assert [each.y for each in ttft.series] == [(40.0, 60.0), (80.0, 120.0)]
    assert (ttft.limit, goodput.limit) == (150.0, 0.95)
    assert goodput.series[0].y == (1.0, 0.97, 0.0)
    assert chart_table(goodput, Wording(language)).rows


def test_a_report_without_capacity_has_neither():
    document = recorded("passing")
    assert capacity_charts(document, Wording("en")) == []
    assert "Capacity" not in markdown(document)


def test_markdown_has_the_table(document):
    assert "Capacity under the service level" in markdown(document)
