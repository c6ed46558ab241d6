"""A row's earlier runs as a small line: where it runs, where the limit lies, what is said instead."""

import pytest
from documents import recorded, with_history

from pytest_gptoss.report.charts.history import HEIGHT, WIDTH, history
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.ranges import range_groups
from pytest_gptoss.report.schema import faults
from pytest_gptoss.report.wording import Wording

DRAWN = '<svg class="tone-'


def _row(*earlier, value=22.0, limit=25.0):
    before = [
        {"run_id": f"run{index}", "started": f"2026-01-{index:02d}T00:00:00.000+00:00", "value": each}
        for index, each in enumerate(earlier, start=1)
    ]
    made = recorded("passing")["verdicts"][0]
    return {**made, "history": before, "value": value, "limit": limit, "comparison": "<=", "unit": "ms"}


def _drawn(row, language="en"):
    return history(row, Wording(language))


def _heights(drawn):
    return [float(place.split(",")[1]) for place in drawn.points.split()]


def test_higher_figures_lie_higher_and_this_run_is_the_last():
    drawn = _drawn(_row(20.0, 24.0, 21.0))
    first, second, third, last = _heights(drawn)
    assert second < last < third < first
    assert (drawn.x, drawn.y) == (WIDTH - 4, last)
    assert drawn.limit_y < second
    assert drawn.beyond == ""


def test_the_drawing_is_told_in_words():
    assert _drawn(_row(20.0, 24.0, 21.0)).alt == (
        "3 earlier runs from 2026-01-01 to 2026-01-03: 20 ms to 24 ms, the last one 21 ms; "
        "this run 22 ms, limit <= 25 ms"
    )
    assert _drawn(_row(20.0), "zh").count == "此前 1 次"


@pytest.mark.parametrize(("limit", "beyond"), [(1000.0, "above"), (-1000.0, "below")])
def test_a_limit_far_off_is_drawn_at_the_end(limit, beyond):
    drawn = _drawn(_row(20.0, 24.0, limit=limit))
    assert drawn.beyond == beyond
    assert drawn.limit_y == (4 if beyond == "above" else HEIGHT - 4)
    assert max(_heights(drawn)) - min(_heights(drawn)) > HEIGHT / 2


def test_small_differences_do_not_look_large():
    heights = _heights(_drawn(_row(22.0, 22.01, 22.0, limit=1000.0)))
    assert max(heights) - min(heights) < 1


@pytest.mark.parametrize("figures", [(0.0, 0.0), (1.7e308, -1.7e308), (5e-324, 0.0), (-3.0, -3.0)])
def test_any_figures_lie_in_the_box(figures):
    drawn = _drawn(_row(*figures, value=0.0))
    assert all(0 <= each <= HEIGHT for each in (*_heights(drawn), drawn.limit_y))


def test_a_run_without_a_figure_has_no_point():
    drawn = _drawn(_row(20.0, 24.0, value=None))
    assert drawn.y is None
    assert len(_heights(drawn)) == 2
    assert _drawn(_row(20.0, value=None)) is None
    assert _drawn(_row()) is None


def test_the_page_draws_contract_rows_alone():
    document = with_history(recorded("passing"))
    assert faults(document) == []
    drawn = html(document).count(DRAWN)
    assert drawn == sum("history" in row for row in document["verdicts"]) > 0
    assert [group.has_history for group in range_groups(document, Wording("en"))] == [True, False]


def test_a_page_without_a_ledger_has_no_such_column():
    page = html(recorded("passing"))
    assert DRAWN not in page
    assert "Earlier runs" not in page
