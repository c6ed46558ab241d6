"""acceptance.prom is what Prometheus' own client reads, and says what the document says."""

import copy

import pytest
from documents import RECORDED, hostile, recorded
from prometheus_client.parser import text_string_to_metric_families

from pytest_gptoss.report.formats.prometheus import VERDICTS, prometheus

FIGURES = {"value": "value", "limit": "limit", "n": "n", "ci_low": "ci_low", "ci_high": "ci_high"}


def _samples(document):
    families = list(text_string_to_metric_families(prometheus(document)))
    assert {each.type for each in families} == {"gauge"}
    return {each.name: list(each.samples) for each in families}


@pytest.mark.parametrize("name", RECORDED)
def test_every_figure_is_read_back(name):
    document = recorded(name)
    found = _samples(document)
    for metric, key in FIGURES.items():
        told = {
            (each.labels["device"], each.labels["row"]): each.value
            for each in found.get(f"gptoss_row_{metric}", ())
        }
        rows = document["verdicts"]
        assert told == {(row["npu"], row["threshold_id"]): row[key] for row in rows if row[key] is not None}


def test_a_row_has_one_verdict_of_all():
    document = recorded("invalid")
    found = _samples(document)["gptoss_row_verdict"]
    assert len(found) == len(document["verdicts"]) * len(VERDICTS)
    told = {(each.labels["row"], each.labels["verdict"]) for each in found if each.value}
    assert told == {(row["threshold_id"], row["verdict"]) for row in document["verdicts"]}
    assert {each.labels["profile"] for each in found} == {"embedded"}


def test_the_run_has_its_verdict_and_its_time():
    found = _samples(recorded("failing"))
    assert found["gptoss_run_verdict"][0].labels["verdict"] == "NOT ACCEPTED"
    assert found["gptoss_run_ended_seconds"][0].value > found["gptoss_run_started_seconds"][0].value


def test_what_an_enemy_says_breaks_no_line():
    document = hostile(prompts=1)
    odd = 'a"b\\c\nd'
    document["verdicts"][0]["threshold_id"] = odd
    document["verdicts"].append(copy.deepcopy(document["verdicts"][1]))
    rows = [each.labels["row"] for each in _samples(document)["gptoss_row_limit"]]
    assert 'a"b\\c\\nd' in rows
    assert len(rows) == len(set(rows)) == len(document["verdicts"]) - 1
