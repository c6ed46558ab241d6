"""acceptance.md: its tables say what the document says, in both languages, whatever a model emits."""

import re

import pytest
from documents import RECORDED, diagnosed, hostile, recorded, stored, with_load

from pytest_gptoss.judge.figures import number
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.document import acceptance_document
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.markdown import LONGEST_CELL, MARKS, markdown
from pytest_gptoss.report.formats.precision import CONTRACT_METRICS
from pytest_gptoss.report.headline import close, sentence
from pytest_gptoss.report.tables.forks import visible
from pytest_gptoss.report.wording import Wording

STATUSES = {
    "passing": {"PASS", "SKIPPED"},
    "failing": {"PASS", "SKIPPED", "FAIL"},
    "invalid": {"INVALID", "SKIPPED", "PASS"},
    "waived": {"PASS", "SKIPPED", "WAIVED"},
    "interrupted": {"PASS"},
}


def _tables(text):
    """Every table of a Markdown text: its rows of cells, the head first, escapes undone."""
    tables, current = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            current.append([re.sub(r"\\(.)", r"\1", cell) for cell in cells])
        elif current:
            tables.append([current[0], *current[2:]])
            current = []
    return tables


def _table(text, say, *heads):
    wanted = [say(f"head.{head}") for head in heads]
    return next(table for table in _tables(text) if table[0] == wanted)[1:]


def _value(cell):
    return None if cell == "-" else float(re.match(r"-?[0-9.]+(?:e-?[0-9]+)?", cell)[0])


def _shows(cell, value, limit=None):
    """Whether a cell shows a figure of the document in its digits, never rounded to its limit."""
    return _value(cell) == (None if value is None else float(number(value, apart_from=limit)))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", RECORDED)
def test_its_tables_hold_the_documents_figures(name, language):
    document, say = with_load(recorded(name)), Wording(language)
    text = markdown(document, language)
    verdicts = {row["threshold_id"]: row for row in document["verdicts"]}
    assert {row["verdict"] for row in verdicts.values()} == STATUSES[name]

    heads = ("figure", "threshold", "value", "limit", "interval", "n", "tier", "status")
    rows = _table(text, say, *heads)
    assert [row[1] for row in rows] == list(verdicts)
    for _, threshold_id, value, limit, interval, n, _, status in rows:
        row = verdicts[threshold_id]
        assert _shows(value, row["value"], row["limit"])
        assert _value(limit.partition(" ")[2]) == row["limit"]
        ends = [None] if row["ci"] is None else row["ci"]
        assert all(
            _shows(cell, end, row["limit"]) for cell, end in zip(interval.split(" - "), ends, strict=True)
        )
        assert _value(n) == row["n"]
        assert status.startswith(MARKS[row["verdict"]])

    figures = {row["threshold_id"]: row for row in document["measurements"]["precision"]}
    rows = _table(text, say, "metric", "gpu_baseline", "npu_result", "difference", "status")
    for threshold_id, (label, gpu, npu, difference, status) in zip(CONTRACT_METRICS, rows, strict=True):
        row = figures.get(threshold_id, {"gpu": None, "npu": None, "difference": None})
        assert label == say.name(threshold_id)
        found = verdicts.get(threshold_id)
        bound = found and found["limit"]
        assert _shows(gpu, row["gpu"], bound)
        assert _shows(npu, row["npu"], bound)
        assert _shows(difference, row["difference"], bound)
        assert status.startswith(MARKS[found["verdict"]] if found else MARKS["OPEN"])

    cells = [c for c in document["measurements"]["needles"] if c["device"] == "npu" and not c["control"]]
    rows = _table(text, say, "depth", "length", "first_token", "recall", "status")
    assert len(rows) == 5
    for cell, (depth, _, wait, recall, _) in zip(cells, rows, strict=bool(cells)):
        assert depth == f"{cell['depth']:.0%}"
        assert _shows(wait, cell["first_token_ms"])
        assert recall.startswith(f"{cell['hits']}/{cell['trials']}")

    rows = _table(text, say, "concurrency", "ttft", "tpot", "throughput", "qps", "status")
    levels = [level for level in document["measurements"]["load"]["levels"] if level["device"] == "npu"]
    for level, (concurrency, ttft, tpot, throughput, qps, _) in zip(levels, rows, strict=True):
        assert int(concurrency) == level["concurrency"]
        figures = (level["ttft_ms"]["p50"], level["tpot_ms"]["p50"], level["throughput_tok_s"], level["qps"])
        assert all(map(_shows, (ttft, tpot, throughput, qps), figures))


def test_no_cell_is_rounded_to_the_limit_that_it_misses():
    """0.989996 against >= 0.99, 99.996 ms against < 100 ms: a reader sees on which side they lie."""
    document, say = with_load(recorded("passing")), Wording("en")
    rows = {row["threshold_id"]: row for row in document["verdicts"]}
    cosine, ttft = rows["precision.hidden_cosine"], rows["performance.ttft.c01"]
    cosine |= {"value": 0.989996, "limit": 0.99, "verdict": "FAIL", "headroom": -4e-4}
    ttft |= {"value": 99.996, "limit": 100.0, "ci": [99.99, 100.004], "verdict": "PASS", "headroom": 4e-5}
    rows["precision.rouge_l"] |= {"limit": 0.9799996, "changed_from": 0.98}
    for row in document["measurements"]["precision"]:
        if row["threshold_id"] == "precision.hidden_cosine":
            row["npu"] = 0.989996
    document["measurements"]["load"]["levels"][0]["ttft_ms"]["p50"] = 99.996
    document["run"]["changed_limits"] = {"precision.rouge_l": {"from": 0.98, "to": 0.9799996}}
    text = markdown(document)
    guide = _table(text, say, "metric", "gpu_baseline", "npu_result", "difference", "status")
    assert guide[1][2] == "0.989996"
    load = _table(text, say, "concurrency", "ttft", "tpot", "throughput", "qps", "status")
    assert load[0][1] == "99.996"
    every = _table(text, say, "figure", "threshold", "value", "limit", "interval", "n", "tier", "status")
    figures = {row[1]: row[2:5] for row in every}
    assert figures["precision.hidden_cosine"][:2] == ["0.989996", ">= 0.99"]
    assert figures["performance.ttft.c01"] == ["99.996 ms", "< 100 ms", "99.99 - 100.004"]
    assert figures["precision.rouge_l"][1] == ">= 0.9799996 (changed from 0.98)"
    assert "0.98 -> 0.9799996" in text


def test_a_pass_of_whole_requests_alone_does_not_read_as_a_pass_of_the_latencies():
    document, say = with_load(recorded("passing")), Wording("en")
    rows = _table(markdown(document), say, "concurrency", "ttft", "tpot", "throughput", "qps", "status")
    assert [row[5].partition("(")[2] for row in rows] == [
        "", *["whole requests only)"] * 2, ""
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_limit_on_another_statistic_says_so(language):
    document, say = recorded("passing"), Wording(language)
    row = next(row for row in document["verdicts"] if row["threshold_id"] == "performance.ttft.c01")
    row |= {"statistic": "min", "statistic_from": "median"}
    document["run"]["changed_limits"] = {
        row["threshold_id"]: {
            "from": 100.0, "to": 100.0, "statistic_from": "median", "statistic_to": "min"
        }
    }  # fmt: skip
    text = markdown(document, language)
    said = say("changed.statistic", statistic=say("statistic.min"), before=say("statistic.median"))
    rows = _table(text, say, "figure", "threshold", "value", "limit", "interval", "n", "tier", "status")
    assert next(each[3] for each in rows if each[1] == row["threshold_id"]).endswith(f" ms ({said})")
    listed = _table(text, say, "threshold", "changed_from", "changed_to")
    assert listed == [
        [row["threshold_id"], f"100 ({say('statistic.median')})", f"100 ({say('statistic.min')})"]
    ]


def test_what_was_not_measured_stays_open():
    document, say = recorded("interrupted"), Wording("en")
    text = markdown(document)
    assert say("state.interrupted") in text
    open_rows = {row["threshold_id"] for row in document["not_judged"]}
    assert "precision.token_match_rate" in open_rows
    listed = _table(text, say, "figure", "threshold", "device", "limit", "why")
    assert {row[1] for row in listed} == open_rows
    rows = _table(text, say, "metric", "gpu_baseline", "npu_result", "difference", "status")
    assert [row[1:] for row in rows] == [["-", "-", "-", f"{MARKS['OPEN']} not measured"]] * 4


def test_what_needs_attention_stands_first():
    text = markdown(recorded("failing"))
    begin, end = text.index("## What needs attention"), text.index("## Precision")
    attention = text[begin:end]
    for row in recorded("failing")["verdicts"]:
        assert (f"`npu-{row['threshold_id']}`" in attention) == (
            row["verdict"] == "FAIL" or (row["proven"] is False and row["verdict"] == "PASS") or close(row)
        )


def test_one_cause_is_told_once():
    document = recorded("invalid")
    causes = {row["reason"] for row in document["verdicts"] if row["verdict"] == "INVALID"}
    begin = markdown(document).partition("## What needs attention")[2].partition("##")[0]
    assert begin.count(MARKS["INVALID"]) == len(causes)


def test_waivers_and_changed_limits_are_told():
    text = markdown(recorded("waived"), "zh")
    assert "no pooling server on this rack" in text
    assert "按被修改的限值判定：precision.rouge\\_l 0.98 -> 0.97" in text
    assert "由 0.98 改为此值" in text
    assert "仅判定了一部分" in text


def test_diagnosis_stands_in_it():
    text = markdown(diagnosed(recorded("failing")))
    assert "EZ9999: capture error: add --enforce-eager" in text
    assert "gpu answered (2 times): 500 (EngineCore encountered an issue.): start it again" in text
    chinese = markdown(diagnosed(recorded("failing")), "zh")
    assert "gpu 应答（2 次）：500 (EngineCore" in chinese
    assert "| npu | dtype | bfloat16 | log |" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_text_is_only_text(language, tmp_path):
    text = markdown(stored(hostile(), tmp_path), language)
    text.encode("utf-8")
    assert not re.search(r"<[a-zA-Z/!?]", text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", text)
    assert "\\x1b" in text.replace("\\\\", "\\")
    widths = {len(re.split(r"(?<!\\)\|", line)) for table in _raw_tables(text) for line in table}
    assert all(len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1 for table in _raw_tables(text))
    assert widths
    assert max(map(len, text.splitlines())) < 20 * LONGEST_CELL
    assert not [line for line in text.splitlines() if line.startswith("# head")]
    assert not re.search(r"\b(nan|inf|None)\b", text)


def _raw_tables(text):
    tables, current = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            current.append(line)
        elif current:
            tables.append(current)
            current = []
    return tables


@pytest.mark.parametrize("render", [markdown, html])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_was_killed_says_nothing_good(render, language):
    run = {**recorded("passing")["run"], "ended": None, "verdict": "INCOMPLETE"}
    text = render(acceptance_document(state="running", run=run), language)
    say = Wording(language)
    assert say("state.running") in text
    assert text.count(say("nothing.yet")) == 3
    for key in ("attention", "not_measured", "scenarios"):
        assert say(f"nothing.{key}") not in text


@pytest.mark.parametrize("render", [markdown, html])
def test_what_was_skipped_says_why(render):
    document = recorded("passing")
    skipped = [row for row in document["verdicts"] if row["verdict"] == "SKIPPED"]
    text = render(document)
    assert Wording("en")("section.skipped") in text
    assert skipped
    assert all(text.count(row["reason"].split(":")[0]) >= len(skipped) for row in skipped)


@pytest.mark.parametrize("render", [markdown, html])
def test_an_instrument_that_was_not_calibrated_is_told(render):
    document = with_load(recorded("passing"))
    load = document["measurements"]["load"]
    load["instrument"] = {"errors": [], "problem": "not calibrated: no port was free"}
    load["levels"][-1]["instrument"] = {"problem": "the load did not hold"}
    text = render(document).replace("\\", "")
    assert "Instrument error unknown: not calibrated: no port was free" in text
    assert "Instrument error unknown: c16: the load did not hold" in text
    assert "instrument calibrated first" in text


def test_what_is_left_out_is_counted(tmp_path):
    document = stored(hostile(80), tmp_path)
    assert Wording("en")("more", count=30) in markdown(document)
    assert Wording("en")("more", count=40) in html(document)


@pytest.mark.parametrize("language", LANGUAGES)
def test_remarks_on_features_are_in_the_readers_language(language):
    document, say = recorded("passing"), Wording(language)
    rows = _table(markdown(document, language), say, "feature", "status", "remark")
    by_name = {row[0]: row for row in rows}
    context = next(row for row in document["verdicts"] if row["threshold_id"] == "capability.context")
    assert by_name[say("feature.mxfp4")][2].startswith(say.figure(0, "servers"))
    assert sentence(context, say) in by_name[say("feature.context")][2]


def test_a_cause_that_is_a_row_of_its_own_is_referred_to():
    """The dependents of a row that does not hold do not repeat its reason."""
    document = recorded("invalid")
    root, other = document["verdicts"][:2]
    root |= {"verdict": "FAIL", "value": 0.5, "reason": "prompt p1 differs at position 17", "details": {}}
    other |= {
        "verdict": "INVALID", "details": {"blocked_by": root["threshold_id"]},
        "reason": f"{root['threshold_id']} does not hold: {root['reason']}",
    }  # fmt: skip
    begin = markdown(document).partition("## What needs attention")[2].partition("##")[0]
    assert begin.count(root["reason"]) == 1
    assert Wording("en")("blocked", row=root["threshold_id"]).replace("_", "\\_") in begin
    del document["verdicts"][0]
    assert root["reason"] in markdown(document).partition("## What needs attention")[2].partition("##")[0]


def test_a_token_of_blanks_is_seen():
    assert [visible(token) for token in (" ", "  ", "\t ", "\n", " the")] == ["␣", "␣␣", "⇥ ", "⏎", " the"]
