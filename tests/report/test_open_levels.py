"""Open levels in the reports: their table, their plot, their part of the stored documents."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from documents import open_level, recorded, stored, with_load, with_open_load

import pytest_gptoss
from pytest_gptoss.judge.in_flight import MOST_POINTS, in_flight
from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.model.results import LoadLevel, RequestTiming
from pytest_gptoss.report.builders.open_levels import arrivals_part, open_part
from pytest_gptoss.report.charts.load import load_charts
from pytest_gptoss.report.formats.benchmark import benchmark_report
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.junit import junit
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.tables.load import load_tables
from pytest_gptoss.report.terminal import table
from pytest_gptoss.report.wording import Wording, split_id

SCHEMA = Path(pytest_gptoss.__file__).parent / "report" / "schemas" / "benchmark-report-1.schema.json"
MS = 1_000_000
OPEN = LoadShape(4, 3, 8, 2, arrivals=Arrivals(10.0, "gamma", cv=2.0), slo=Slo(ttft_ms=150.0))


def request(name, due, sent, first, end):
    """A request of two tokens, in ms."""
    return RequestTiming(
        name, sent * MS, sent * MS, (first * MS, end * MS), (1, 1), None, end * MS, prompt_tokens=8,
        completion_tokens=2, counted_by="ids", intended_ns=due * MS,
    )  # fmt: skip


LEVEL = LoadLevel(OPEN, (request("a", 0, 0, 100, 300), request("b", 100, 110, 300, 500)))


@pytest.mark.parametrize(
    ("threshold_id", "parts"),
    [
        ("performance.ttft.r0.5", ("performance.ttft", "r0.5")),
        ("performance.ttft.c16-p4096", ("performance.ttft", "c16-p4096")),
        ("needle.recall.d025-32k", ("needle.recall", "d025-32k")),
        ("precision.kl", ("precision.kl", "")),
    ],
)
def test_a_levels_name_may_have_a_dot(threshold_id, parts):
    assert split_id(threshold_id) == parts


def test_rows_of_an_open_level_have_names():
    assert Wording("en").name("performance.ttft.r0.5") == "Time to first token r0.5"
    assert Wording("zh").name("performance.stable.r8") == "队列的增长 r8"


def test_what_the_document_says_of_arrivals_and_goodput():
    assert arrivals_part(OPEN) == {"rate": 10.0, "arrivals": "gamma:2"}
    assert arrivals_part(LoadShape(4, 3, 8, 2)) == {}
    part = open_part(LEVEL)
    assert part["slo"] == {"ttft_ms": 150.0, "tpot_ms": None, "share": 0.95}
    assert part["goodput"] == pytest.approx(1 / 3)  # one of three kept it, one was never sent


def test_requests_in_flight_are_counted_at_so_many_moments_and_no_more():
    found = in_flight(LEVEL)
    assert len(found.s) == len(found.in_flight) == len(found.waiting) == MOST_POINTS
    at = {round(s * 1000): (n, m) for s, n, m in zip(found.s, found.in_flight, found.waiting, strict=True)}
    assert (found.s[0], found.s[-1]) == (0, 0.5)
    near = {ms: at[min(at, key=lambda s: abs(s - ms))] for ms in (50, 105, 200, 400)}
    assert near == {50: (1, 1), 105: (1, 0), 200: (2, 1), 400: (1, 0)}
    assert in_flight(LoadLevel(OPEN, ())) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_open_levels_have_a_table_of_their_own(language):
    say, document = Wording(language), with_open_load(recorded("passing"))
    closed = load_tables(with_load(recorded("passing")), say)
    tables = load_tables(document, say)
    assert [each for each in tables if each.name == "performance"] == [
        each for each in closed if each.name == "performance"
    ]
    ours, gpus = (each for each in tables if each.name == "open")
    assert [row[0].text for row in ours.rows] == ["r0.5 (poisson)", "r8 (poisson)"]
    assert len({len(ours.head), len(ours.rows[0]), len(gpus.rows[0])}) == 1
    assert "96%" in [cell.text for cell in ours.rows[0]]
    assert gpus.rows[0][-1].status == "SHOWN"
    for text in (markdown(document, language), html(document, language)):
        assert say("head.goodput") in text
        assert say("section.open") in text
        assert "r0.5" in text


def test_a_plot_shows_the_queue_of_each_open_level():
    document = with_open_load(recorded("passing"))
    plots = [each for each in load_charts(document, Wording("en")) if each.name == "in_flight"]
    assert [each.title for each in plots] == [
        f"Requests in flight: {device} {level}" for level in ("r0.5", "r8") for device in ("npu", "gpu")
    ]
    assert [each.label for each in plots[0].series] == ["in flight", "waiting for a first token"]
    assert max(plots[0].series[1].y) > 10
    assert html(document).count('id="plot-in_flight-') == 4


def test_the_guides_plots_have_closed_levels_alone():
    say = Wording("en")
    of = {each.name: each for each in load_charts(with_open_load(recorded("passing")), say)}
    before = {each.name: each for each in load_charts(with_load(recorded("passing")), say)}
    for name in ("ttft", "tpot", "throughput", "qps"):
        assert of[name] == before[name]


def test_a_run_of_open_levels_alone_is_rendered():
    document = with_open_load(recorded("passing"))
    load = document["measurements"]["load"]
    load["levels"] = [each for each in load["levels"] if each["concurrency"] is None]
    load["levels"].append({
        "device": "npu", "level": "r9", "concurrency": None, "rate": 9.0, "arrivals": "constant", "trial": 0,
        "complete": False, "reason": "the server is gone", "instrument": None,
    })  # fmt: skip
    assert "the server is gone" in markdown(document)
    assert "r0.5" in html(document)
    lines = [line.text for line in table(document)]
    assert [line.split()[:2] for line in lines if line.startswith("r")][:2] == [
        ["r0.5", "npu"],
        ["r0.5", "gpu"],
    ]


def test_stored_documents_fit_their_schemas(tmp_path):
    document = stored(with_open_load(recorded("passing")), tmp_path / "run")
    assert document["measurements"]["load"]["levels"][-1]["timeline"]["waiting"]
    level = open_level("npu", 0.5)
    asked = {
        "id": "a", "device": "npu", "concurrency": None, "level": "r0.5", "intended_ns": 5, "trial": 0,
        "start_ns": 5, "sent_ns": 6, "first_text_ns": None, "end_ns": 9, "token_ns": [7], "tokens": [1],
        "prompt_tokens": 8, "completion_tokens": 1, "cached_tokens": None, "finish_reason": "length",
        "error": None,
    }  # fmt: skip
    report = benchmark_report({**document, "measurements": {"load": {"levels": [level]}}}, [asked])
    jsonschema.validate(report, json.loads(SCHEMA.read_text("utf-8")))


def test_junit_names_rows_with_dots():
    document = recorded("passing")
    row = next(each for each in document["verdicts"] if each["threshold_id"] == "performance.ttft.c01")
    row["threshold_id"] = "performance.ttft.r0.5"
    root = ET.fromstring(junit(document))
    assert "test_performance[npu-performance.ttft.r0.5]" in [
        each.get("name") for each in root.iter("testcase")
    ]
