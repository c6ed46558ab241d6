"""A fleet in the reports: who is odd stands first, and 64 nodes fill no more than one does."""

import copy

import pytest
from documents import recorded
from fleets import fleet_document, node_name

from pytest_gptoss.report.equivalence import equivalence_line
from pytest_gptoss.report.fleet import cell_figure
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.headline import tone, verdict_words
from pytest_gptoss.report.schema import faults
from pytest_gptoss.report.shown_nodes import MOST_SHOWN, shown_part
from pytest_gptoss.report.tables.fleet import fleet_tables
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.terminal import table
from pytest_gptoss.report.wording import Wording

ENGLISH = Wording("en")
ODD = {"node-17": {"logprobs": 12.3456, "answers": 3}, "node-42": {"tpot": 0.0834}}


@pytest.fixture(scope="module")
def large():
    """A fleet of 64 nodes with two odd ones and a dead one, beside a GPU."""
    return fleet_document(64, odd=ODD, dead=("node-05",), gpu=True)


def words(document, translate=ENGLISH):
    """The headline as a profile for devices has it."""
    document = copy.copy(document)
    document["run"] = {**document["run"], "profile": "atlas-800-a2"}
    return verdict_words(document, translate)


def test_the_document_keeps_its_schema():
    document = fleet_document(64, odd=ODD, dead=("node-05",), whole=False)
    assert faults(document) == []
    fleet = document["run"]["fleet"]
    assert (fleet["canaries"], fleet["repeats"], fleet["in_flight"]) == (16, 4, 256)
    assert fleet["false_alarms"] == {"rate": 0.01, "method": "Holm"}
    assert fleet["odd"] == ["node-17", "node-42"]
    assert fleet["dead"] == ["node-05"]
    assert [each["node"] for each in fleet["nodes"]][:4] == ["node-17", "node-42", "node-05", "node-00"]
    del fleet["nodes"][0]["cells"]
    assert faults(document)


def test_a_run_without_a_fleet_says_nothing_of_one():
    document = recorded("passing")
    assert fleet_tables(document, ENGLISH) is None
    assert shown_part(document) is document
    assert "Fleet" not in markdown(document)


def test_without_a_gpu_the_headline_is_at_best_in_part():
    document = fleet_document(3)
    assert document["run"]["verdict"] == "PASSED IN PART"
    assert words(document) == "PASSED IN PART: nodes agree; none was compared with a GPU"
    assert words(document, Wording("zh")) == "部分通过：各节点一致；均未与 GPU 比较"
    assert tone(document) not in ("PASS", "FAIL", "INVALID")


def test_with_a_gpu_sound_nodes_are_accepted():
    assert words(fleet_document(3, gpu=True)) == "ACCEPTED"


def test_the_headline_names_odd_nodes(large):
    assert words(large) == "NOT ACCEPTED: 2 of 64 nodes are odd: node-17, node-42"
    assert words(fleet_document(3, odd={"node-01": {"repeat": 1}})).endswith("1 of 3 nodes is odd: node-01")


def test_the_headline_names_dead_nodes():
    said = words(fleet_document(3, dead=("node-02",)))
    assert said.startswith("INVALID")
    assert said.endswith("1 of 3 nodes was not measured: node-02")


def test_the_headline_tells_the_odd_one_apart_from_all_differ_from_the_gpu():
    every = [node_name(index) for index in range(3)]
    assert words(fleet_document(3, gpu=True, differing=every)).endswith(
        "nodes agree; all differ from the GPU"
    )
    assert words(fleet_document(3, gpu=True, differing=every[:1])) == "NOT ACCEPTED"


def test_the_matrix_has_a_line_a_node_and_folds_the_sound_ones(large):
    first, others = fleet_tables(large, ENGLISH)
    assert [row[0].text for row in first.rows] == ["node-17", "node-42", "node-05"]
    assert [cell.text for cell in first.rows[0][1:]] == ["odd", "3", "12.3", "1.5%", "2%", "0", "0", "2", "0"]
    assert [cell.status for cell in first.rows[0][1:4]] == ["FAIL", "FAIL", "FAIL"]
    assert first.rows[1][5].text == "8.3%"
    assert len(others.rows) == 61
    assert first.head == others.head
    assert others.caption == "61 nodes with nothing against them"
    small, none = fleet_tables(fleet_document(3), ENGLISH)
    assert (len(small.rows), none.rows) == (3, ())


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "share", "-"), (0.0834, "share", "8.3%"), (0.0004, "share", "0.04%"), (1.5, "share", "150%"),
     (12.3456, "spreads", "12.3"), (123456.0, "spreads", "123456"), (0, "answers", "0")],
)  # fmt: skip
def test_a_cell_is_short(value, unit, text):
    assert cell_figure({"value": value, "unit": unit}, ENGLISH) == text


def test_markdown_has_the_matrix_and_counts_the_sound(large):
    text = markdown(large)
    assert text.index("## Fleet") < text.index("## What needs attention")
    assert "| node-17 | ❌ odd | ❌ 3 | ❌ 12.3 |" in text
    assert "61 nodes with nothing against them." in text
    assert "one in 4102 or more is found with 95% confidence" in text
    assert "in at most 1% of runs" in text
    assert "56 more are in acceptance.json" in text


def test_only_the_worst_nodes_are_shown_in_full(large):
    assert npus(large) == [each["node"] for each in large["run"]["fleet"]["nodes"][:MOST_SHOWN]]
    part = shown_part(large)
    assert {row["npu"] for row in part["verdicts"]} == set(npus(large))
    assert {row["device"] for row in part["measurements"]["load"]["levels"]} <= set(npus(large))
    assert part["devices"] == large["devices"]
    assert len(markdown(large)) < 4 * len(markdown(fleet_document(3, gpu=True)))


def test_notes_of_nodes_that_are_not_shown_are_left_out(large):
    notes = ["node-40: not known: vllm", "node-17: not known: vllm", "position drift of node-41 from gpu"]
    document = {**large, "measurements": {**large["measurements"], "notes": notes}}
    assert shown_part(document)["measurements"]["notes"] == notes[1:2]


def test_the_page_has_the_matrix_with_its_sound_nodes_folded():
    document = fleet_document(64, odd=ODD, whole=False)
    page = html(document, "zh")
    section = page.partition('<section id="fleet">')[2].partition("</section>")[0]
    assert section.count("<tr>") == 64 + 2
    assert section.index("node-17") < section.index("<details>") < section.index("node-00")
    assert '<a href="#fleet">集群</a>' in page
    assert "64 个节点中有 2 个异常：node-17、node-42" in page
    assert len(page) < 600_000


def test_the_terminal_names_the_odd_ones_and_counts_the_others(large):
    lines = [each.text for each in table(large)]
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "2 of 64 nodes are odd: node-17, node-42; not measured: node-05" in text
    assert "node-17: fleet.answers 3 answers, required = 0; fleet.logprobs 12.35 spreads" in text
    assert "node-42: fleet.tpot 0.0834, required <= 0.05" in text
    assert len(lines) < 70
    assert not any("node-3" in line for line in lines if not line.startswith("  "))


def test_equivalence_says_alike_of_many_nodes_once(large):
    said = equivalence_line(large, ENGLISH)
    assert "and 55 more: no difference found" in said
    assert len(said) < 300
