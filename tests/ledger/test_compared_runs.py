"""Two runs compared: differences first, then rows, each better, worse, same or not to be told."""

import dataclasses
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import document, ledger, numbered, stored, with_level

from pytest_gptoss.cli.comparison_text import as_markdown, as_text
from pytest_gptoss.cli.main import main
from pytest_gptoss.ledger.comparison import compare
from pytest_gptoss.ledger.entry import entry_of, run_id
from pytest_gptoss.ledger.records import Entry, RunRecord, VerdictRecord

RUN = RunRecord("a", "0", "finished", "ACCEPTED", "embedded", "2026", None, "p", "w", None, 0, 1)
ROW = VerdictRecord(
    "a", "npu", "precision.kl", "precision", "assurance", "mean", "PASS", 1.0, 0.9, 1.1, 10, 2.0, None, "<=",
    "nat", 1, 0.5, None,
)  # fmt: skip


def entry(*rows):
    return Entry(RUN, verdicts=rows)


def change(old, new):
    (row,) = compare(entry(old), entry(new)).rows
    return row.change


def row(value, half=None, **fields):
    low, high = (None, None) if half is None else (value - half, value + half)
    return dataclasses.replace(ROW, value=value, ci_low=low, ci_high=high, **fields)


FIGURES = st.floats(-1e6, 1e6)
ROWS = st.builds(
    row,
    FIGURES,
    st.none() | st.floats(0, 1e3),
    comparison=st.sampled_from(["<=", ">=", "<", ">", "="]),
    unit=st.sampled_from(["nat", "share", "ms"]),
    verdict=st.sampled_from(["PASS", "FAIL", "WAIVED"]),
    limit_value=FIGURES,
)


@given(ROWS)
def test_a_run_is_no_better_than_itself(made):
    assert change(made, made) in ("same", "cannot tell")


@given(ROWS, ROWS)
def test_turned_round_better_is_worse(old, new):
    new = dataclasses.replace(new, comparison=old.comparison, unit=old.unit, limit_value=old.limit_value)
    turned = {"better": "worse", "worse": "better", "same": "same", "cannot tell": "cannot tell"}
    assert change(new, old) == turned[change(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (row(100, 1), row(103, 1), "worse"),
        (row(100, 1), row(97, 1), "better"),
        (row(100, 1), row(100.5, 1), "same"),
        (row(100, 30), row(103, 30), "cannot tell"),
        (row(100, 1, comparison=">="), row(103, 1, comparison=">="), "better"),
        (row(0.97, 0.004, unit="share"), row(0.971, 0.004, unit="share"), "same"),
        (row(0.97, 0.02, unit="share"), row(0.971, 0.02, unit="share"), "cannot tell"),
        (row(1), row(1), "same"),
        (row(1), row(2), "cannot tell"),
        (row(1), row(3, verdict="FAIL"), "worse"),
        (row(1, limit_value=5.0), row(3, verdict="FAIL"), "cannot tell"),
        (row(3, comparison="="), row(2, comparison="="), "better"),
        (row(2, comparison="=", verdict="PASS"), row(1, comparison="=", verdict="FAIL"), "worse"),
    ],
)  # fmt: skip
def test_a_row_is_judged_by_its_intervals(old, new, found):
    assert change(old, new) == found


def test_the_interval_of_a_difference_is_that_of_both():
    (found,) = compare(entry(row(100, 3)), entry(row(110, 4))).rows
    assert found.interval == pytest.approx((5.0, 15.0))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"statistic": "max"}, "its statistic was mean and is max"),
        ({"unit": "ms"}, "its unit was nat and is ms"),
        ({"comparison": ">="}, "its comparison was <= and is >="),
        ({"value": None, "verdict": "INVALID", "reason": "no data"}, "INVALID in the new run: no data"),
        ({"threshold_id": "precision.other"}, "only the new run has it"),
    ],
)
def test_what_is_not_comparable_is_left_out_with_the_reason(fields, reason):
    compared = compare(entry(ROW), entry(dataclasses.replace(ROW, **fields)))
    assert not compared.rows
    assert reason in [each.reason for each in compared.left_out]


def test_other_prompts_needles_and_load_are_left_out():
    old, new = document("failing"), document("failing")
    new["run"] |= {"prompts_sha256": "0" * 64, "needle": {**new["run"]["needle"], "seed": 5}}
    compared = compare(entry_of(old), entry_of(new))
    reasons = Counter(each.reason for each in compared.left_out)
    assert reasons["other prompts"]
    assert reasons["other needles"]
    assert {"prompts_sha256", "needle.seed"} <= {each.what for each in compared.differences}
    shaped, other = with_level(document()), with_level(document())
    other["measurements"]["load"]["levels"][0]["max_tokens"] = 64
    for made in (shaped, other):
        made["verdicts"][0] |= {"family": "performance", "threshold_id": "performance.ttft.c04"}
    (left,) = compare(entry_of(shaped), entry_of(other)).left_out[:1]
    assert left.reason == "load level c04 had another shape"


def test_versions_settings_and_limits_are_named_first():
    old, new = document(), document()
    new["run"]["versions"] = {**new["run"]["versions"], "pytest-gptoss": "9.9"}
    new["devices"][0]["server_version"] = "0.99|<b>"
    new["verdicts"][0]["limit"] = 0.5
    compared = compare(entry_of(old), entry_of(new))
    told = {each.what: each.new for each in compared.differences}
    assert told["versions.pytest-gptoss"] == "9.9"
    assert told["npu.server_version"] == "0.99|<b>"
    assert [name for name in told if name.startswith("limit of npu-")]
    text, page = as_text(compared), as_markdown(compared)
    assert text.index("differs: versions.pytest-gptoss") < text.index("95% interval")
    assert r"0.99\|\<b\>" in page
    assert page.index("## What differs") < page.index("## Rows")


def test_the_command_compares_directories_and_runs_of_a_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    accepted, later = numbered(1), numbered(2)
    later["run"]["verdict"] = "NOT ACCEPTED"
    for made, value in ((accepted, 0.01), (later, 0.05)):
        made["verdicts"][0] |= {
            "value": value, "ci_low": value - 0.001, "ci_high": value + 0.001, "comparison": "<=",
        }  # fmt: skip
    ledger(tmp_path, accepted, later)
    old, new = stored(accepted, tmp_path / "old"), stored(later, tmp_path / "new")
    for runs in ([str(old), str(new)], ["last-accepted", "last"], [str(old), "last"]):
        assert main(["compare", *runs, "--ledger", "runs.db", "--fail-on-worse"]) == 1
    assert (
        main(["compare", "last-accepted", "last", "--ledger", "runs.db", "--output", "c.md", "--json"]) == 0
    )
    told = capsys.readouterr().out
    found = json.loads(told[told.index("{") :])
    row = accepted["verdicts"][0]["threshold_id"]
    assert {each["change"] for each in found["rows"] if each["threshold_id"] == row} == {"worse"}
    assert "worse" in (tmp_path / "c.md").read_text()
    assert main(["compare", str(old), str(old), "--fail-on-worse"]) == 0
    assert main(["compare", "last", "last", "--ledger", "none.db"]) == 1
    assert main(["compare", "last", "last"]) == 4


def test_an_earlier_run_by_name_is_before_the_later_one(tmp_path, monkeypatch, capsys):
    """A night's run is in the ledger already when it is compared with the last accepted one."""
    monkeypatch.chdir(tmp_path)
    runs = [numbered(number) for number in (1, 2, 3)]
    for made in runs:
        made["run"]["verdict"] = "ACCEPTED"
    ledger(tmp_path, *runs)
    new = str(stored(runs[1], tmp_path / "new"))
    pairs = {("last-accepted", "last"): (1, 2), ("last", "last"): (1, 2), ("last-accepted", new): (0, 1)}
    for names, (old, later) in pairs.items():
        assert main(["compare", *names, "--ledger", "runs.db", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["old_run"], found["new_run"]) == (run_id(runs[old]), run_id(runs[later]))
    first = str(stored(runs[0], tmp_path / "first"))
    assert main(["compare", "last-accepted", first, "--ledger", "runs.db"]) == 1
    assert f"there is no run last-accepted before {run_id(runs[0])}" in capsys.readouterr().err


def test_the_comparison_in_chinese():
    new = dataclasses.replace(ROW, threshold_id="precision.other", unit="ms", limit_value=3.0)
    worse = row(3.0, 0.1, verdict="FAIL", unit="tok/s")
    compared = compare(
        entry(dataclasses.replace(worse, value=2.0, ci_low=1.9, ci_high=2.1, verdict="PASS"), new),
        entry(worse, dataclasses.replace(new, unit="s", limit_value=4.0)),
    )
    for made in (as_text(compared, "zh"), as_markdown(compared, "zh")):
        assert "变差（通过 变为 不通过）" in made
        assert "单位原为 ms，现为 s" in made
        assert "npu-precision.other 的限值" in made
        assert "0 项变好，1 项变差，0 项相同，0 项无法判断；1 项不可比" in made
        assert "词元/秒" in made
