"""What the ledger keeps of a run equals what the report document says."""

import copy
import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_runs import document, ledger, numbered, rows, with_level

from pytest_gptoss.ledger.entry import entry_of, run_id
from pytest_gptoss.ledger.finding import entry_named
from pytest_gptoss.ledger.records import TABLES
from pytest_gptoss.model.errors import UsageError

FIGURE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = ("value", "ci_low", "ci_high", "n", "limit", "changed_from", "headroom")


def _key(record):
    return [str(each) for each in dataclasses.astuple(record)[:5]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@settings(max_examples=20)
@given(st.data())
def test_figures_equal_those_of_the_document(folder, data):
    made = document("failing")
    made["run"]["started"] = data.draw(st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}+00:00"))
    for row in made["verdicts"]:
        row["value"], row["ci_low"], row["ci_high"] = (data.draw(FIGURE) for _ in range(3))
        row["n"] = data.draw(st.none() | st.integers(0, 2**62))
        row["limit"] = data.draw(st.floats(allow_nan=False, allow_infinity=False))
    (folder / "runs.db").unlink(missing_ok=True)
    target = ledger(folder, made)
    read = entry_named(target, run_id(made))
    found = {(each.device, each.threshold_id): each for each in read.verdicts}
    assert len(found) == len(made["verdicts"])
    for row in made["verdicts"]:
        kept = found[row["npu"], row["threshold_id"]]
        figures = (
            kept.value,
            kept.ci_low,
            kept.ci_high,
            kept.n,
            kept.limit_value,
            kept.changed_from,
            kept.headroom,
        )
        assert figures == tuple(row[key] for key in KEYS)


def test_levels_have_their_figures():
    made = with_level(document("failing"))
    levels = made["measurements"]["load"]["levels"]
    entry = entry_of(made)
    assert levels
    assert [(each.device, each.level, each.complete) for each in entry.levels] == [
        (each["device"], each["level"], int(each["complete"])) for each in levels
    ]
    for level in levels:
        kept = {
            each.figure: each.value
            for each in entry.figures
            if (each.device, each.level) == (level["device"], level["level"])
        }
        assert kept["ttft_ms.p99"] == level["ttft_ms"]["p99"]
        assert kept["throughput_tok_s"] == level["throughput_tok_s"]


def test_what_is_read_is_what_was_written(tmp_path):
    made = document("failing")
    made = with_level(made)
    read = entry_named(ledger(tmp_path, made), "last")
    made_of_it = entry_of(made)
    assert read.run.added
    for part in TABLES:
        assert sorted(getattr(read, part), key=_key) == sorted(getattr(made_of_it, part), key=_key)


def test_an_interrupted_run_is_kept_as_such(tmp_path):
    target = ledger(tmp_path, document("interrupted"))
    assert rows(target, "SELECT state FROM gptoss_runs") == [("interrupted",)]


def test_a_run_that_goes_on_is_refused():
    made = document()
    made["state"] = "running"
    with pytest.raises(UsageError, match="has not ended, or it was killed"):
        entry_of(made)


def test_a_row_told_twice_is_refused():
    made = document()
    made["verdicts"].append(copy.deepcopy(made["verdicts"][0]))
    with pytest.raises(UsageError, match=r"tells npu .* twice"):
        entry_of(made)


def test_a_replay_with_other_limits_is_another_entry_that_says_so(tmp_path):
    first, again = document(), document()
    again["run"] |= {
        "started": "2026-11-24T00:00:00.000+00:00",
        "replay_of": "gptoss-report",
        "changed_limits": {"precision.kl": {"from": 0.1, "to": 0.2}},
    }
    target = ledger(tmp_path, first, again)
    kept = rows(target, "SELECT replay_of, changed_limits FROM gptoss_runs ORDER BY started")
    assert kept == [(None, 0), ("gptoss-report", 1)]
    facts = rows(target, "SELECT value FROM gptoss_facts WHERE part = 'changed_limits'")
    assert [json.loads(value) for (value,) in facts] == [{"from": 0.1, "to": 0.2}]


def test_equal_workloads_are_known_as_such():
    first, second, other = entry_of(numbered(1)), entry_of(numbered(2)), document()
    other["run"]["needle"]["seed"] = 7
    assert first.run.run_id != second.run.run_id
    assert first.run.workload == second.run.workload != entry_of(other).run.workload


def test_a_device_is_found_by_the_label_that_a_user_gave_it():
    made = document()
    made["devices"][0]["label"] = "rack 7"
    assert [each.identity for each in entry_of(made).devices] == ["rack 7", "gpu"]
