"""The one document: its headline, its rows, and what JSON cannot hold."""

import itertools
import json
import math
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.model.verdicts import Threshold, Verdict
from pytest_gptoss.report.document import (
    acceptance_document,
    changed_limits,
    finite,
    headline,
    verdict_row,
)
from pytest_gptoss.report.formats.junit import PROPERTIES, properties
from pytest_gptoss.report.terminal import table

THRESHOLD = Threshold(
    "precision.rouge_l", "precision", "rouge_l", "mean", ">=", 0.98, "F", "contract", "precision criteria"
)


def _row(status="PASS", **figures):
    verdict = Verdict("npu", THRESHOLD, status, **figures)
    npu = Device("npu", "npu", "http://npu:8000", "Atlas", "gpt-oss-20b", "0.18.0", 131072, Capabilities())
    return verdict_row(verdict, devices={"npu": npu}, model="gpt-oss-20b", profile="atlas-800-a2")


@pytest.mark.parametrize(
    ("state", "statuses", "selected", "word"),
    [
        ("finished", ["PASS", "SKIPPED"], 2, "ACCEPTED"),
        ("finished", ["PASS", "WAIVED", "SKIPPED"], 3, "PASSED IN PART"),
        ("finished", ["PASS"], 2, "INCOMPLETE"),
        ("interrupted", ["PASS"], 1, "INCOMPLETE"),
        ("running", [], 0, "INCOMPLETE"),
        ("finished", ["WAIVED", "SKIPPED"], 2, "NOTHING JUDGED"),
        ("finished", [], 0, "NOTHING JUDGED"),
        ("finished", ["PASS", "INVALID"], 2, "INVALID"),
        ("interrupted", ["PASS", "INVALID", "FAIL"], 9, "NOT ACCEPTED"),
    ],
)
def test_the_headline_is_accepted_only_when_all_was_judged(state, statuses, selected, word):
    assert headline(state, _contract(statuses), selected) == word


def _contract(statuses):
    return [{"verdict": status, "tier": "contract"} for status in statuses]


def test_nothing_is_accepted_but_what_passed_the_whole_contract():
    for statuses in itertools.product(["PASS", "FAIL", "INVALID", "WAIVED", "SKIPPED"], repeat=3):
        word = headline("finished", _contract(statuses), 3)
        assert (word == "ACCEPTED") == ("PASS" in statuses and {"PASS", "SKIPPED"} >= set(statuses))
        assert headline("finished", _contract(statuses), 3, _contract(["PASS"])) != "ACCEPTED"


def test_rows_beside_the_contract_do_not_make_it():
    """``-k leakage``: one assurance row passed, none of the guide's own was judged."""
    ours, left_out = {"verdict": "PASS", "tier": "assurance"}, {"tier": "contract", "why": "not selected"}
    assert headline("finished", [ours], 1, [left_out] * 13) == "PASSED IN PART"
    assert headline("finished", [ours], 1) == "PASSED IN PART"
    waived = {"verdict": "WAIVED", "tier": "assurance"}
    assert headline("finished", [*_contract(["PASS"]), waived], 2) == "ACCEPTED"
    assert headline("finished", _contract(["PASS"]), 1, [{**left_out, "tier": "assurance"}]) == "ACCEPTED"


def test_junit_properties_are_builtin_and_absent_when_there_is_none():
    found = dict(properties(_row("INVALID", reason="nobody there")))
    assert found["verdict"] == "INVALID"
    assert not {"value", "n", "ci_low", "ci_high", "proven", "gpu_label"} & set(found)
    full = dict(properties(_row(value=0.99, n=60, interval=(0.97, 1.0), proven=False)))
    assert full["proven"] == "false"
    beside = {"beside_statistic", "beside_value"}
    assert set(full) == set(PROPERTIES) - {"reason", "gpu_label"} - beside
    two = dict(properties(_row(value=0.99, details={"beside": {"statistic": "forced", "value": 0.987}})))
    assert {name: two[name] for name in beside} == {"beside_statistic": "forced", "beside_value": 0.987}
    assert {type(value) for value in full.values()} <= {str, int, float}


@given(
    st.recursive(
        st.floats() | st.text() | st.none() | st.booleans() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_details_are_always_strict_json(details):
    json.dumps(finite(details), allow_nan=False)


@pytest.mark.parametrize("label", ["Atlas 800 A2, TP8, ACLGraph", "x" * 300])
def test_the_table_fits_80_columns(label):
    rows = [
        _row(value=0.9812345, n=60, interval=(0.97, 1.0), proven=False),
        _row("INVALID", reason="npu: 3 of 60 prompts failed; " + "why " * 60),
        _row("FAIL", value=0.1234567, n=60, interval=(0.1, 0.2), proven=False),
    ]
    device = {"name": "npu", "label": label, "model": "gpt-oss-20b", "url": "http://npu:8000",
              "server_version": "0.18.0", "problem": None}  # fmt: skip
    run = {"profile": "atlas-800-a2", "changed_limits": {"precision.rouge_l": {"from": 0.98, "to": 0.9}}}
    document = acceptance_document(state="finished", run=run, devices=[device], verdicts=rows, selected=3)
    lines = [each.text for each in table(document)]
    assert lines[0] == "NOT ACCEPTED"
    assert max(map(len, lines)) <= 80
    assert any("limit changed: precision.rouge_l from 0.98 to 0.9" in line for line in lines)
    assert any("not proven at 95%" in line for line in lines)


def test_a_changed_statistic_is_a_changed_limit(tmp_path):
    """The best request's TTFT against the median's limit: no report may show it as the profile's."""
    changes = tmp_path / "mine.toml"
    changes.write_text(
        '[thresholds."performance.ttft.c01"]\nstatistic = "min"\n'
        '[thresholds."performance.ttft.c08"]\nlimit = 300\nstatistic = "p99"\n'
    )
    profile = load_profile("atlas-800-a2", overrides=changes)
    row = profile.thresholds["performance.ttft.c01"]
    assert (row.statistic, row.statistic_from, row.changed_from) == ("min", "median", None)
    assert changed_limits(profile.thresholds.values()) == {
        row.id: {"from": 100.0, "to": 100.0, "statistic_from": "median", "statistic_to": "min"}
    }
    shown = verdict_row(Verdict("npu", row, "PASS", value=80.0, n=50), devices={}, model=None, profile="p")
    assert shown["statistic_from"] == "median"
    assert "required < 100 ms (its min instead of its median)" in shown["line"]


def test_what_a_hook_adds_becomes_json():
    added = {
        "worst": math.nan, "when": datetime(2026, 11, 26, tzinfo=timezone.utc), "where": Path("a") / "b",
        "count": np.int64(3), "share": np.float32(0.5), "names": {"one"}, "ok": True, "nothing": None,
    }  # fmt: skip
    text = json.dumps(finite(added), allow_nan=False)
    assert json.loads(text) == {
        "worst": None, "when": "2026-11-26 00:00:00+00:00", "where": str(Path("a") / "b"), "count": 3,
        "share": 0.5, "names": ["one"], "ok": True, "nothing": None,
    }  # fmt: skip
