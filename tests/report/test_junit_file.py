"""A stored run as a JUnit file: what dashboards and junitparser read from it."""

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
import xmlschema
from documents import RECORDED, hostile, recorded, stored, with_load
from junitparser import Error, Failure, JUnitXml, Skipped

from pytest_gptoss.report.document import acceptance_document
from pytest_gptoss.report.formats.junit import PROPERTIES, junit, properties, suite_properties

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
OUTCOMES = {"FAIL": Failure, "INVALID": Error, "WAIVED": Skipped, "SKIPPED": Skipped}


def test_the_schema_tells_right_from_wrong():
    good = junit(recorded("passing"))
    SCHEMA.validate(good)
    for wrong in (
        good.replace("<testcase ", "<testcase surprise='1' ", 1),
        good.replace("tests=", "test=", 1),
        good.replace('<property name="threshold_id" value=', '<property name="threshold_id" worth=', 1),
    ):
        assert not SCHEMA.is_valid(wrong)


@pytest.mark.parametrize("name", RECORDED)
def test_every_verdict_is_a_test_case(name):
    document = recorded(name)
    text = junit(document)
    SCHEMA.validate(text)
    (suite,) = JUnitXml.fromstring(text.encode("utf-8"))
    cases = list(suite)
    rows = document["verdicts"]
    cases = cases[: len(rows)]
    assert [case.name for case in cases] == [
        f"test_{row['family']}[{row['npu']}-{row['threshold_id']}]" for row in rows
    ]
    elements = list(ET.fromstring(text).iter("testcase"))[: len(rows)]
    for case, element, row in zip(cases, elements, rows, strict=True):
        assert {type(result) for result in case.result} == (
            {OUTCOMES[row["verdict"]]} if row["verdict"] in OUTCOMES else set()
        )
        found = {each.get("name"): each.get("value") for each in element.iter("property")}
        assert found == {key: str(value) for key, value in properties(row)}
        assert set(found) <= set(PROPERTIES)
    counts = Counter(row["verdict"] for row in rows)
    missed = sum(row["why"] == "not reached" for row in document["not_judged"])
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
        len(rows) + missed, counts["FAIL"], counts["INVALID"] + missed, counts["WAIVED"] + counts["SKIPPED"],
    )  # fmt: skip
    facts = {each.name: each.value for each in suite.properties()}
    assert facts == dict(suite_properties(document))
    assert facts["gptoss_verdict"] == document["run"]["verdict"]
    assert facts["gptoss_state"] == document["state"]


def test_hostile_text_is_only_text(tmp_path):
    text = junit(stored(hostile(3), tmp_path))
    SCHEMA.validate(text)
    (suite,) = JUnitXml.fromstring(text.encode("utf-8"))
    messages = [result.message for case in suite for result in case.result]
    assert any("<script>alert('it')</script>" in message and "\\x1b[2J" in message for message in messages)


def test_what_was_not_reached_is_an_error():
    document = recorded("interrupted")
    missed = [row for row in document["not_judged"] if row["why"] == "not reached"]
    assert missed
    text = junit(document)
    (suite,) = JUnitXml.fromstring(text.encode("utf-8"))
    errors = [case for case in suite if any(isinstance(result, Error) for result in case.result)]
    assert {case.name.partition("[")[2] for case in errors} == {
        f"npu-{row['threshold_id']}]" for row in missed
    }
    assert suite.errors == len(missed)
    assert suite.tests == len(document["verdicts"]) + len(missed)


def test_a_run_that_has_not_ended_is_an_error():
    text = junit(acceptance_document(state="running", run=recorded("passing")["run"] | {"ended": None}))
    SCHEMA.validate(text)
    (suite,) = JUnitXml.fromstring(text.encode("utf-8"))
    assert (suite.tests, suite.errors) == (1, 1)


def test_a_problem_of_the_instrument_is_a_property():
    document = with_load(recorded("passing"))
    document["measurements"]["load"]["instrument"] = {
        "errors": [],
        "problem": "the truth server did not start",
    }
    assert dict(suite_properties(document))["gptoss_instrument_problem"] == "the truth server did not start"
