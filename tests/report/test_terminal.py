"""The final table: 80 columns whatever is said, one cause told once, nothing that moves a cursor."""

import io
import unicodedata

import pytest
from documents import RECORDED, diagnosed, hostile, recorded, stored, with_load

from pytest_gptoss.report.terminal import show_table, table


def _columns(text):
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@pytest.fixture
def shown(pytestconfig, monkeypatch):
    """What a failed run's table is on a terminal, by ``--color`` and the environment's wishes."""

    def show(colour, **environment):
        for name in ("PY_COLORS", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(pytestconfig.option, "color", colour)
        file = io.StringIO()
        show_table(pytest.TerminalReporter(pytestconfig, file), recorded("failing"))
        assert "precision.token_match_rate" in file.getvalue()
        return file.getvalue()

    return show


def test_no_color_beats_a_terminal_that_has_colours(shown):
    red = "\x1b[31mFAIL "
    assert red in shown("yes")
    assert red in shown("auto", FORCE_COLOR="1")
    assert "\x1b" not in shown("auto", FORCE_COLOR="1", NO_COLOR="1")


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_runs_fit_80_columns(name):
    document = with_load(recorded(name))
    lines = [each.text for each in table(document)]
    assert max(map(_columns, lines)) <= 80
    word = "embedded demonstration, no device was accepted"
    assert lines[0].startswith(word)
    said = {"ACCEPTED": "(all contract rows passed)"}.get(document["run"]["verdict"])
    assert (said or document["run"]["verdict"]) in " ".join(line.strip() for line in lines[:2])
    for row in document["verdicts"]:
        assert any(line.startswith(row["verdict"]) and row["threshold_id"] in line for line in lines)


def test_one_cause_of_many_rows_is_told_once_with_all_their_names():
    document = recorded("invalid")
    rows = [row for row in document["verdicts"] if row["verdict"] == "INVALID"]
    causes = {row["reason"] for row in rows}
    assert len(causes) < len(rows)
    begun = [each.text for each in table(document) if each.text.startswith("INVALID ")]
    assert len(begun) == len(rows) + len(causes)
    words = " ".join(each.text.strip() for each in table(document))
    assert all(words.count(row["threshold_id"]) >= 2 for row in rows)


def test_a_log_and_an_answer_are_quoted_with_what_they_may_explain():
    words = " ".join(each.text.strip() for each in table(diagnosed(recorded("failing"))))
    assert "npu, npu.log:17 (3 times): RuntimeError" in words
    assert "gpu answered (2 times): 500 (EngineCore" in words
    assert "may explain precision.kl" in words


def test_a_part_of_the_guide_is_called_a_part():
    assert any("Only a part was judged" in each.text for each in table(recorded("waived")))


@pytest.mark.parametrize("text", ["昇腾验收机柜" * 20, "no space" * 40, "可以 mixed 文字 " * 20])
def test_labels_of_any_script_are_folded(text):
    document = recorded("passing")
    document["devices"][0]["label"] = text
    lines = [each.text for each in table(document)]
    assert max(map(_columns, lines)) <= 80
    assert text.replace(" ", "") in "".join(lines).replace(" ", "")


def test_hostile_text_is_only_text(tmp_path):
    lines = [each.text for each in table(stored(hostile(3), tmp_path))]
    assert max(map(_columns, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert len(lines) < 400


def test_digits_are_never_cut_off_nor_rounded_to_the_limit():
    document = with_load(recorded("passing"))
    rows = {row["threshold_id"]: row for row in document["verdicts"]}
    row = rows["precision.perplexity_diff"]
    row |= {"value": 1.0000001234, "limit": 1.0, "ci": [0.9999998765, 1.0000004321], "verdict": "FAIL"}
    level = document["measurements"]["load"]["levels"][0]
    level["ttft_ms"]["p50"] = 1233.6
    rows["performance.ttft.c01"]["limit"] = 1234.0
    lines = [each.text for each in table(document)]
    shown = next(line for line in lines if row["threshold_id"] in line)
    assert "1.0000001" in shown
    assert any("0.9999999..1.0000004" in line for line in lines)
    assert any("1233.6" in line for line in lines if line.startswith(level["level"]))
