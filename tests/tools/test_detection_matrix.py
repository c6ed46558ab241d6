"""What the matrix counts and prints, from outcomes written down here."""

from __future__ import annotations

from contextlib import nullcontext

from detection.matrix import counts, markdown, one_coloured
from detection.row import Outcome, Row, Served, column
from detection.rows import all_rows

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.reference.defects import DEFECTS


def row(name, *named, unseen=None, group="numerics"):
    return Row(name, group, f"what {name} is", lambda: nullcontext(Served("")), named, unseen)


ROWS = (
    row("hit", "precision.kl"),
    row("elsewhere", "precision.kl"),
    row("escaped", "needle.recall"),
    row("tiny", "precision.kl", unseen="finer than rounding"),
    row("calm", group="controls"),
    row("wolf", group="controls"),
    row("later", "precision.kl"),
)
GREEN = {"precision.kl": "PASS", "precision.rouge_l": "PASS", "needle.recall.d000-256": "PASS"}
OUTCOMES = {
    each.row: each
    for each in (
        Outcome("hit", 1, 9.0, {**GREEN, "precision.kl": "FAIL"}),
        Outcome("elsewhere", 1, 9.0, {**GREEN, "precision.rouge_l": "INVALID"}),
        Outcome("escaped", 0, 9.0, GREEN),
        Outcome("tiny", 0, 9.0, GREEN),
        Outcome("calm", 0, 9.0, {**GREEN, "baseline.kl": "SKIPPED"}),
        Outcome("wolf", 1, 9.0, {**GREEN, "needle.recall.d025-512": "FAIL"}),
    )
}


def test_what_is_caught_where_and_what_cries_wolf_is_counted():
    assert counts(ROWS, OUTCOMES) == {
        "tried": 3, "caught": 2, "at the named check": 1, "sound runs": 2, "false alarms": 1, "not run": 1,
    }  # fmt: skip


def test_damage_by_degrees_is_tabled_with_its_figures():
    rows = [
        Row(f"noise-{step}", "numerics", "noise", lambda: nullcontext(Served("")), graded=True)
        for step in "12"
    ]
    outcomes = {
        "noise-1": Outcome(
            "noise-1", 0, 1.0, GREEN, {"precision.kl": 0.0001234, "needle.recall.d000-256": 1.0}
        ),
        "noise-2": Outcome("noise-2", 1, 1.0, {"precision.kl": "FAIL"}, {"precision.kl": 0.3}),
    }
    lines = markdown(rows, outcomes, told=()).splitlines()
    assert lines[lines.index("| row | precision.kl |") :] == [
        "| row | precision.kl |", "|---|---|", "| noise-1 | 0.0001234 |", "| noise-2 | **0.3** |",
    ]  # fmt: skip


def test_a_run_that_fails_without_a_red_row_is_an_alarm():
    assert Outcome("calm", 4, 1.0).alarmed
    assert not Outcome("calm", 0, 1.0, {"precision.kl": "WAIVED"}).alarmed


def test_the_table_shows_every_cell_the_misses_and_what_was_not_run():
    text = markdown(ROWS, OUTCOMES, told=("Measured by hand.",))
    lines = text.splitlines()
    assert "Measured by hand." in lines
    assert "| hit | what hit is | precision.kl | **FAIL** | PASS | PASS |" in lines
    assert "| elsewhere | what elsewhere is | precision.kl (missed) | PASS | INVALID | PASS |" in lines
    assert "| escaped | what escaped is | needle.recall (missed) | PASS | PASS | PASS |" in lines
    assert "| wolf | what wolf is | false alarm | PASS | PASS | FAIL | - |" in lines
    assert "| calm | what calm is | none | PASS | PASS | PASS | - |" in lines
    assert "`tiny` is not counted: finer than rounding." in lines
    assert lines[-2:] == ["later", ""] or lines[-1] == "later"
    assert "at most (one-sided 95%)" not in text


def test_sound_runs_without_an_alarm_bound_the_rate_of_false_ones():
    rows = tuple(row(f"again-{n}", group="controls") for n in range(59))
    outcomes = {each.id: Outcome(each.id, 0, 1.0, GREEN) for each in rows}
    assert "| false alarm rate, at most (one-sided 95%) | 5.0% |" in markdown(rows, outcomes, told=())


def test_a_threshold_seen_in_one_colour_alone_is_named_with_the_other():
    columns = ["needle.recall", "precision.kl", "precision.rouge_l"]
    outcomes = [
        OUTCOMES["hit"],
        Outcome("cut", 1, 1.0, {"precision.kl": "PASS", "precision.rouge_l": "INVALID"}),
    ]
    assert one_coloured(columns, outcomes) == [("needle.recall", "red"), ("precision.rouge_l", "red")]
    assert one_coloured(columns, [Outcome("wolf", 1, 1.0, {"needle.recall.d025-512": "FAIL"})]) == [
        ("needle.recall", "green"), ("precision.kl", "red"), ("precision.kl", "green"),
        ("precision.rouge_l", "red"), ("precision.rouge_l", "green"),
    ]  # fmt: skip


def test_every_defect_of_the_server_has_its_row_and_ids_are_unique():
    rows = all_rows(repeat=59)
    assert len({each.id for each in rows}) == len(rows)
    assert set(DEFECTS) <= {each.id for each in rows}
    assert sum(each.id.startswith("again-") for each in rows) == 59
    columns = {column(name) for name in load_profile("embedded").thresholds}
    judged = {name for each in all_rows() for name in each.named}
    assert judged <= columns
    assert all(each.named or each.unseen or each.sound for each in rows)
